//! Key-value stores, in this process's memory: by label, and each component sees those that its manifest names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

type Values = BTreeMap<String, Vec<u8>>;

/// All stores of an application. Clones are the same stores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stores(Arc<Mutex<HashMap<String, Values>>>);

/// A store that a component has opened.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it as public")]
pub struct Opened {
    stores: Stores,
    label: String,
}

impl Stores {
    pub(crate) fn open(&self, label: &str) -> Opened {
        Opened {
            stores: self.clone(),
            label: label.to_owned(),
        }
    }
}

impl Opened {
    /// Does something to the store's values.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Values) -> T) -> T {
        let mut stores = self.stores.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(stores.entry(self.label.clone()).or_default())
    }
}
