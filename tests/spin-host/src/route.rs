//! Which component answers a path. `/a/...` is all that lies at or below `/a`, `/a/:x` any one segment there; the route that names more
//! of the path wins.

use tidemill_core::{Error, Result};

use crate::manifest::{Manifest, Place};

/// The routes of an application.
#[derive(Debug)]
pub(crate) struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    segments: Vec<String>,
    /// Whether what lies below is its own too.
    below: bool,
    component: String,
}

impl Routes {
    pub(crate) fn new(manifest: &Manifest) -> Result<Self> {
        let mut routes = Vec::new();
        for http in &manifest.trigger.http {
            if !manifest.component.contains_key(&http.component) {
                return Err(Error::config(format!(
                    "a route names the component `{}`, which the manifest does not have",
                    http.component
                )));
            }
            if let Place::Public(route) = &http.route {
                routes.push(Route::new(route, &http.component)?);
            }
        }
        // What is more particular is asked first.
        routes.sort_by_key(|route| (std::cmp::Reverse(route.literals()), route.below));
        Ok(Self(routes))
    }

    /// The component, and the rest of the path below its route.
    pub(crate) fn find(&self, path: &str) -> Option<(&str, String)> {
        let segments = segments(path);
        self.0
            .iter()
            .find_map(|route| Some((route.component.as_str(), route.rest(&segments)?)))
    }
}

impl Route {
    fn new(route: &str, component: &str) -> Result<Self> {
        if !route.starts_with('/') {
            return Err(Error::config(format!("the route `{route}` must begin with `/`")));
        }
        let mut segments = segments(route);
        let below = segments.last().is_some_and(|last| last == "...");
        if below {
            segments.pop();
        }
        Ok(Self {
            segments,
            below,
            component: component.to_owned(),
        })
    }

    fn literals(&self) -> usize {
        self.segments.iter().filter(|segment| !segment.starts_with(':')).count()
    }

    fn rest(&self, path: &[String]) -> Option<String> {
        let long_enough = path.len() == self.segments.len() || self.below && path.len() > self.segments.len();
        let fits = |(own, other): (&String, &String)| own.starts_with(':') || own == other;
        (long_enough && self.segments.iter().zip(path).all(fits)).then(|| {
            let rest = &path[self.segments.len()..];
            rest.iter().fold(String::new(), |text, segment| format!("{text}/{segment}"))
        })
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_particular_route_wins() {
        let mut routes = Vec::new();
        for (route, component) in [("/...", "all"), ("/events", "events"), ("/v2/...", "v2"), ("/v2/:one", "one")] {
            routes.push(Route::new(route, component).unwrap());
        }
        routes.sort_by_key(|route| (std::cmp::Reverse(route.literals()), route.below));
        let routes = Routes(routes);
        let found = |path: &str| routes.find(path).unwrap();
        assert_eq!(found("/events"), ("events", String::new()));
        assert_eq!(found("/events/x"), ("all", "/events/x".into()));
        assert_eq!(found("/v2/a/b"), ("v2", "/a/b".into()));
        assert_eq!(found("/v2/a"), ("one", String::new()));
        assert_eq!(found("/"), ("all", String::new()));
        assert!(Route::new("events", "x").is_err());
    }
}
