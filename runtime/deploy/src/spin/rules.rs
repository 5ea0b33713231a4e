//! Tables of what a Spin manifest of version 2 may contain: the keys of each table, and the form of their values. The rules come from
//! Spin's own schema and from what its loader and its HTTP trigger refuse beyond that.

use super::words::{Is, anything, digest, endpoint, kebab, kebab_or_snake, rooted, route, snake, text};

/// The form of a value.
pub(super) enum Shape {
    /// The number 2.
    Version,
    /// `true` or `false`.
    Flag,
    /// `true` alone.
    True,
    /// A number from 100 to 599.
    Status,
    /// A string that passes the check.
    Text(Is),
    /// A list.
    List(&'static Shape),
    /// A table whose names the author chooses.
    Map(Is, &'static Shape),
    /// A table with these keys.
    Record(&'static Record),
    /// Any table: Spin does not read it.
    Free,
    /// The first form whose kind fits.
    Either(&'static [Shape]),
}

/// A table whose keys Spin defines.
pub(super) struct Record {
    /// Allowed keys.
    pub(super) keys: &'static [Key],
    /// Keys that are often written here by mistake, each with what to do instead.
    pub(super) mistaken: &'static [(&'static str, &'static str)],
}

/// A key of a table.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) must: bool,
    pub(super) shape: Shape,
}

const fn may(name: &'static str, shape: Shape) -> Key {
    Key { name, must: false, shape }
}

const fn must(name: &'static str, shape: Shape) -> Key {
    Key { name, must: true, shape }
}

const TEXT: Shape = Shape::Text(text);
const TEXTS: Shape = Shape::List(&TEXT);
const TABLES: Shape = Shape::Map(anything, &Shape::Free);

/// The whole file.
pub(super) const MANIFEST: Shape = Shape::Record(&Record {
    keys: &[
        must("spin_manifest_version", Shape::Version),
        must("application", Shape::Record(&APPLICATION)),
        may("variables", Shape::Map(snake, &Shape::Record(&VARIABLE))),
        must("trigger", Shape::Map(anything, &Shape::List(&Shape::Free))),
        may("component", Shape::Map(kebab, &Shape::Record(&COMPONENT))),
    ],
    mistaken: &[
        ("name", "it belongs to [application]"),
        ("version", "it belongs to [application]"),
        ("description", "it belongs to [application]"),
        ("spin_version", "this is manifest version 1: write `spin_manifest_version = 2`"),
        ("triggers", "the table is called `trigger`: [[trigger.http]]"),
        ("components", "the table is called `component`: [component.<id>]"),
    ],
});

const APPLICATION: Record = Record {
    keys: &[
        must("name", TEXT),
        may("version", TEXT),
        may("description", TEXT),
        may("authors", TEXTS),
        may("targets", Shape::List(&TARGET)),
        may("trigger", TABLES),
        may("tool", TABLES),
    ],
    mistaken: &[("variables", "it stands at the top: [variables]")],
};

const TARGET: Shape = Shape::Either(&[
    TEXT,
    Shape::Record(&Record {
        keys: &[may("url", TEXT), may("path", TEXT)],
        mistaken: &[],
    }),
]);

const VARIABLE: Record = Record {
    keys: &[
        may("description", TEXT),
        may("required", Shape::Flag),
        may("default", TEXT),
        may("secret", Shape::Flag),
    ],
    mistaken: &[("value", "a value given in the file is its `default`")],
};

/// An element of `[[trigger.http]]`.
pub(super) const HTTP: Shape = Shape::Record(&Record {
    keys: &[
        may("id", TEXT),
        may("component", COMPONENT_OR_ID),
        may(
            "components",
            Shape::Map(anything, &Shape::Either(&[Shape::List(&COMPONENT_OR_ID), COMPONENT_OR_ID])),
        ),
        may("dependencies", Shape::Map(anything, &Shape::List(&Shape::Free))),
        must("route", Shape::Either(&[Shape::Text(route), Shape::Record(&PRIVATE)])),
        may("static_response", Shape::Record(&STATIC)),
        may("executor", Shape::Record(&EXECUTOR)),
    ],
    mistaken: &[
        ("path", "it is called `route`"),
        ("base", "Spin has no base path any more: write whole routes"),
    ],
});

/// An element of `[[trigger.redis]]`.
pub(super) const REDIS: Shape = Shape::Record(&Record {
    keys: &[
        may("id", TEXT),
        may("component", COMPONENT_OR_ID),
        may("components", Shape::Free),
        may("dependencies", Shape::Free),
        must("channel", TEXT),
        may("address", TEXT),
    ],
    mistaken: &[],
});

const COMPONENT_OR_ID: Shape = Shape::Either(&[Shape::Text(kebab), Shape::Record(&COMPONENT)]);

const PRIVATE: Record = Record {
    keys: &[must("private", Shape::True)],
    mistaken: &[],
};

const STATIC: Record = Record {
    keys: &[
        may("status_code", Shape::Status),
        may("headers", Shape::Map(anything, &TEXT)),
        may("body", TEXT),
    ],
    mistaken: &[],
};

const EXECUTOR: Record = Record {
    keys: &[must("type", TEXT), may("argv", TEXT), may("entrypoint", TEXT)],
    mistaken: &[],
};

const COMPONENT: Record = Record {
    keys: &[
        must("source", Shape::Either(&[TEXT, Shape::Record(&SOURCE)])),
        may("description", TEXT),
        may("variables", Shape::Map(snake, &TEXT)),
        may("environment", Shape::Map(anything, &TEXT)),
        may("files", Shape::List(&Shape::Either(&[TEXT, Shape::Record(&PLACEMENT)]))),
        may("exclude_files", TEXTS),
        may("allowed_http_hosts", TEXTS),
        may("allowed_outbound_hosts", Shape::List(&Shape::Text(endpoint))),
        may("key_value_stores", Shape::List(&Shape::Text(kebab_or_snake))),
        may("sqlite_databases", Shape::List(&Shape::Text(kebab_or_snake))),
        may("ai_models", TEXTS),
        may("targets", Shape::List(&TARGET)),
        may("build", Shape::Record(&BUILD)),
        may("tool", TABLES),
        may("dependencies_inherit_configuration", Shape::Flag),
        may(
            "dependencies",
            Shape::Map(anything, &Shape::Either(&[TEXT, Shape::Record(&DEPENDENCY)])),
        ),
        may("profile", Shape::Map(anything, &Shape::Record(&PROFILE))),
    ],
    mistaken: &[
        (
            "trigger",
            "this is manifest version 1: write [[trigger.http]] with `route` and `component` beside the components",
        ),
        ("id", "its id is in the table's name: [component.<id>]"),
        ("config", "it is called `variables`"),
        ("env", "it is called `environment`"),
        ("allowed_hosts", "it is called `allowed_outbound_hosts`"),
        ("command", "it belongs to [component.<id>.build]"),
    ],
};

const SOURCE: Record = Record {
    keys: &[
        may("url", TEXT),
        may("digest", Shape::Text(digest)),
        may("registry", TEXT),
        may("package", TEXT),
        may("version", TEXT),
    ],
    mistaken: &[("path", "a file is named by a string: source = \"file.wasm\"")],
};

const PLACEMENT: Record = Record {
    keys: &[must("source", TEXT), must("destination", Shape::Text(rooted))],
    mistaken: &[],
};

const BUILD: Record = Record {
    keys: &[
        must("command", Shape::Either(&[TEXT, TEXTS])),
        may("workdir", TEXT),
        may("watch", TEXTS),
    ],
    mistaken: &[],
};

const DEPENDENCY: Record = Record {
    keys: &[
        may("version", TEXT),
        may("registry", TEXT),
        may("package", TEXT),
        may("path", TEXT),
        may("url", TEXT),
        may("digest", TEXT),
        may("component", Shape::Text(kebab)),
        may("export", TEXT),
        may("inherit_configuration", Shape::Either(&[Shape::Flag, TEXTS])),
    ],
    mistaken: &[("sha256", "it is called `digest`")],
};

const PROFILE: Record = Record {
    keys: &[
        may("source", Shape::Either(&[TEXT, Shape::Record(&SOURCE)])),
        may("environment", Shape::Map(anything, &TEXT)),
        may("dependencies", Shape::Free),
        may(
            "build",
            Shape::Record(&Record {
                keys: &[must("command", Shape::Either(&[TEXT, TEXTS]))],
                mistaken: &[],
            }),
        ),
    ],
    mistaken: &[],
};
