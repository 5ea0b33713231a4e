//! What `tidemill demo` prints: the months, the claims, and what to try next.

use tidemill_demo::{
    months::{Month, Retraining},
    summary::{Claim, Summary},
};

use crate::output::{Column, table};

/// The months, the claims, and what to try next.
pub(super) fn render(summary: &Summary, project: &str) -> String {
    format!(
        "{}\n\n{}\n\nTo look around:\n  tidemill --project {project} models show late\n  tidemill --project {project} runs\n  \
         tidemill --project {project} up",
        months(summary),
        claims(&summary.claims)
    )
}

fn months(summary: &Summary) -> String {
    let columns = [
        Column::word("month"),
        Column::number("flights"),
        Column::number("drifted"),
        Column::word("champion"),
        Column::number("auc"),
        Column::number("auc of v1"),
        Column::text("then"),
    ];
    let measured = &summary.measurements;
    let rows = measured
        .months
        .iter()
        .map(|month| month_row(month, &measured.retrainings))
        .collect();
    table(&columns, rows, "no month was played")
}

fn claims(claims: &[Claim]) -> String {
    let columns = [Column::text("claim"), Column::word("state"), Column::text("measured, or why not")];
    let row = |claim: &Claim| vec![claim.claim.to_owned(), claim.state.as_str().to_owned(), claim.reason.clone()];
    table(&columns, claims.iter().map(row).collect(), "nothing is claimed")
}

fn month_row(month: &Month, retrainings: &[Retraining]) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.4}"));
    vec![
        month.month.clone(),
        month.rows.to_string(),
        month.drifted.to_string(),
        month.champion.map_or("–".into(), |v| format!("v{v}")),
        number(month.auc_live),
        number(month.auc_static),
        what_followed(month, retrainings),
    ]
}

/// The retraining after the month. While no model serves, the decision: why there is none, or that the first one is trained.
fn what_followed(month: &Month, retrainings: &[Retraining]) -> String {
    let retraining = retrainings.iter().find(|retraining| retraining.month == month.month);
    match retraining.map(|retraining| (&retraining.cause, retraining.version)) {
        Some((cause, Some(version))) => format!("{cause}: v{version} trained"),
        Some((cause, None)) => format!("{cause}: trained, not admitted"),
        None if month.champion.is_none() => month.decision.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_demo::summary::Measurements;

    use super::*;

    fn month(name: &str, champion: Option<u32>, decision: &str) -> Month {
        Month {
            month: name.into(),
            rows: 27_004,
            predicted: 0,
            drifted: 0,
            drifted_columns: Vec::new(),
            champion,
            auc_live: None,
            auc_static: None,
            decision: decision.into(),
        }
    }

    fn summary(months: Vec<Month>) -> Summary {
        Summary::new(Measurements {
            months,
            retrainings: Vec::new(),
            failed_requests: 0,
            champion_digest: None,
            control_retrainings: None,
            control_drifted: None,
            live_over_static: None,
            swaps: 0,
            requests_during_swaps: 0,
            failed_during_swaps: 0,
        })
    }

    #[test]
    fn a_month_without_a_model_says_why() {
        let needed = "keep: no training yet: 27004 rows are known and 70000 are needed";
        let text = months(&summary(vec![month("2013-01", None, needed)]));
        assert!(text.contains("2013-01") && text.contains("no training yet"), "{text}");
    }

    #[test]
    fn what_followed_is_the_retraining() {
        let april = month("2013-04", Some(1), "train: drift in `dest`");
        assert_eq!(what_followed(&april, &[]), "");
        let retraining = |version| Retraining {
            month: "2013-04".into(),
            cause: "drift".into(),
            reason: String::new(),
            version,
        };
        assert_eq!(what_followed(&april, &[retraining(Some(2))]), "drift: v2 trained");
        assert_eq!(what_followed(&april, &[retraining(None)]), "drift: trained, not admitted");
    }

    #[test]
    fn each_claim_is_listed_with_its_state() {
        let summary = summary(vec![month("2013-01", None, "keep: no training yet")]);
        let text = claims(&summary.claims);
        assert!(text.contains("held") && text.contains("not checked"), "{text}");
        assert!(text.lines().count() > summary.claims.len(), "{text}");
    }
}
