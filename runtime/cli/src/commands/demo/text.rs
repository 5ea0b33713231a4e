//! What `tidemill demo` prints: what it will do, the months, the claims, and what to try next.

use std::path::{Path, PathBuf};

use tidemill_demo::{
    claims::Claim,
    flights::{data_file, month_of},
    folder::flights_project,
    months::{Month, Retraining},
    summary::{FIRST_QUARTER, Summary},
    year::Demo,
};

use super::super::new::shell_word;
use crate::output::{Column, fields, table};

/// Seconds that a month takes on two cores, at best and at worst; the control's months come on top.
const MONTH_SECONDS: (usize, usize) = (17, 27);
const CONTROL_SECONDS: (usize, usize) = (8, 13);

/// What the demo will do, and what it needs.
pub(super) fn announce(demo: &Demo) -> String {
    let month = |at: usize| demo.files.get(at).map_or("", |file| month_of(file));
    let (first, last) = (month(0), month(demo.files.len().saturating_sub(1)));
    let control = match demo.has_control() {
        true => ", then the control: months without drift, which must not cause a retraining",
        false => "",
    };
    let months = match first == last {
        true => first.to_owned(),
        false => format!("{first} to {last}"),
    };
    let model = match demo.files.len() < FIRST_QUARTER {
        true => "none yet: the first one is trained when January to March are in; until then data is validated and monitored",
        false => "trained when January to March are in; later months are predicted and monitored, and may cause a retraining",
    };
    let plan = fields(&[
        ("months", format!("{months}{control}")),
        ("model", model.to_owned()),
        ("reads", format!("{}; nothing is downloaded", data_folder(demo).display())),
        (
            "writes",
            format!(
                "{}, where what an earlier demo made is removed first; compiled components go to the user's cache",
                demo.folder.display()
            ),
        ),
        (
            "takes",
            format!("{} on two cores", render_duration(demo.files.len(), demo.has_control())),
        ),
        ("Ctrl-C", "ends it; the next run starts anew".to_owned()),
    ]);
    format!(
        "Real flights from New York pass through a project of Tidemill, month by month.\n\n{}",
        plan.trim_end()
    )
}

fn data_folder(demo: &Demo) -> &Path {
    let first = demo.files.first().map(Path::new);
    first.and_then(Path::parent).unwrap_or(Path::new(""))
}

fn render_duration(months: usize, has_control: bool) -> String {
    let control = if has_control { CONTROL_SECONDS } else { (0, 0) };
    let (least, most) = (months * (MONTH_SECONDS.0 + control.0), months * (MONTH_SECONDS.1 + control.1));
    match most < 120 {
        true => format!("about {least} to {most} seconds"),
        false => format!("about {} to {} minutes", (least / 60).max(1), most.div_ceil(60)),
    }
}

/// What can be done with the project that the demo leaves.
pub(super) struct Next {
    project: PathBuf,
    /// The first month that was not played.
    file: Option<PathBuf>,
}

impl Next {
    pub(super) fn new(demo: &Demo) -> Self {
        Self {
            project: flights_project(&demo.folder),
            file: data_file(data_folder(demo), demo.files.len() + 1),
        }
    }

    fn render_text(&self, has_model: bool) -> String {
        let mut rows = vec![
            (format!("cd {}", shell_word(&self.project)), "open the project's folder"),
            ("tidemill runs".to_owned(), "list what ran, and why"),
        ];
        if has_model {
            rows.push(("tidemill models show late".to_owned(), "see where the champion comes from"));
        }
        rows.push((
            "tidemill up".to_owned(),
            "run the project again: stages, predictions, data over HTTP",
        ));
        if let Some(file) = &self.file {
            rows.push((
                format!("tidemill put flights {}", shell_word(file)),
                "in another shell: play the next month",
            ));
        }
        let rows: Vec<(&str, String)> = rows.iter().map(|(command, why)| (command.as_str(), (*why).to_owned())).collect();
        fields(&rows)
    }
}

/// The months, the claims, and what to try next.
pub(super) fn render(summary: &Summary, next: &Next) -> String {
    let has_model = summary.measurements.champion_digest.is_some();
    format!(
        "{}\n\n{}\n\nThe project stays until the next demo in this folder removes it. To look around:\n\n{}",
        render_months(summary),
        render_claims(&summary.claims),
        next.render_text(has_model)
    )
}

fn render_months(summary: &Summary) -> String {
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

fn render_claims(claims: &[Claim]) -> String {
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

    fn demo(months: usize, with_control: bool) -> Demo {
        Demo {
            tidemill: "tidemill".into(),
            folder: "/a home/demo".into(),
            files: (1..=months).map(|month| format!("/data/2013-{month:02}.parquet")).collect(),
            with_control,
        }
    }

    #[test]
    fn a_start_says_what_happens() {
        let text = announce(&demo(12, true)).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "2013-01 to 2013-12",
            "the control",
            "/data; nothing is downloaded",
            "/a home/demo",
            "5 to 8 minutes",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = announce(&demo(1, true));
        assert!(
            text.contains("none yet") && !text.contains("the control") && !text.contains(" to 2013"),
            "{text}"
        );
    }

    #[test]
    fn the_duration_follows_from_the_months() {
        assert_eq!(render_duration(12, true), "about 5 to 8 minutes");
        assert_eq!(render_duration(12, false), "about 3 to 6 minutes");
        assert_eq!(render_duration(1, false), "about 17 to 27 seconds");
    }

    #[test]
    fn the_next_commands_can_be_typed() {
        let next = Next {
            project: "/a home/demo/flights".into(),
            file: Some("/data/2013-03.parquet".into()),
        };
        let text = next.render_text(false);
        for part in [
            "cd '/a home/demo/flights'",
            "tidemill put flights /data/2013-03.parquet",
            "tidemill up",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("models show"), "{text}");
        assert!(next.render_text(true).contains("tidemill models show late"));
        // All months were played.
        let next = Next { file: None, ..next };
        assert!(!next.render_text(true).contains("tidemill put"));
    }

    #[test]
    fn a_month_without_a_model_says_why() {
        let needed = "keep: no training yet: 27004 rows are known and 70000 are needed";
        let text = render_months(&summary(vec![month("2013-01", None, needed)]));
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
        let text = render_claims(&summary.claims);
        assert!(text.contains("held") && text.contains("not checked"), "{text}");
        assert!(text.lines().count() > summary.claims.len(), "{text}");
    }
}
