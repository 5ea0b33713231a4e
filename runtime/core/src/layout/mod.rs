//! The layout of the object store: every key and prefix is made, parsed, matched and reserved here, and nowhere else.
//!
//! A key is `<prefix>/<resource>/…`, where the resource is a dataset, a model or an added stage. [`Prefix`] lists the prefixes with the
//! one program that writes each; the functions make keys; [`Key::parse`] reads them back. The two must agree: a key that is made here and
//! read by splitting at `/` elsewhere breaks at the next change of the layout.
//!
//! ```
//! use tidemill_core::layout::{self, Key, Prefix};
//!
//! let key = layout::outcome("validate", "flights", "0f3a");
//! assert_eq!(key, "outcomes/validate/flights/0f3a.json");
//! assert!(layout::matches(&layout::outcome_pattern("validate", "flights"), &key));
//! assert_eq!(Key::parse(&key), Some(Key::Outcome { stage: "validate", resource: "flights", id: "0f3a" }));
//! assert!(Prefix::Outcomes.is_reserved());
//! assert_eq!(Prefix::Raw.pattern("flights"), "raw/flights/**");
//! ```

mod keys;
mod parse;
mod pattern;
mod prefix;

pub use keys::*;
pub use parse::Key;
pub use pattern::{has_wildcard, literal_folder, literal_prefix, matches, may_overlap};
pub use prefix::{Prefix, STORE_PRIVATE, Writer, is_ignored};
