//! Spin's own interfaces for a component: its variables, and the key-value stores that its manifest names.

use wasmtime::component::{HasSelf, Linker, Resource};

use crate::{
    bindings::fermyon::spin::{key_value, variables},
    state::State,
    stores::Opened,
};

/// Stores that one instance may have open at once.
const OPEN: usize = 256;

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    variables::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    key_value::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl variables::Host for State {
    fn get(&mut self, name: String) -> Result<String, variables::Error> {
        match self.given.variables.get(&name) {
            Some(value) => Ok(value.clone()),
            None => Err(variables::Error::Undefined(format!("the component has no variable `{name}`"))),
        }
    }
}

type Answer<T> = Result<T, key_value::Error>;

impl State {
    fn opened(&self, store: &Resource<Opened>) -> Answer<&Opened> {
        self.table.get(store).map_err(|e| key_value::Error::Other(e.to_string()))
    }
}

impl key_value::Host for State {}

impl key_value::HostStore for State {
    fn open(&mut self, label: String) -> Answer<Resource<Opened>> {
        if !self.given.stores.contains(&label) {
            return Err(key_value::Error::AccessDenied);
        }
        if self.open >= OPEN {
            return Err(key_value::Error::StoreTableFull);
        }
        let opened = self.given.all_stores.open(&label);
        let opened = self.table.push(opened).map_err(|_| key_value::Error::StoreTableFull)?;
        self.open += 1;
        Ok(opened)
    }

    fn get(&mut self, store: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.opened(&store)?.with(|values| values.get(&key).cloned()))
    }

    fn set(&mut self, store: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<()> {
        self.opened(&store)?.with(|values| drop(values.insert(key, value)));
        Ok(())
    }

    fn delete(&mut self, store: Resource<Opened>, key: String) -> Answer<()> {
        self.opened(&store)?.with(|values| drop(values.remove(&key)));
        Ok(())
    }

    fn exists(&mut self, store: Resource<Opened>, key: String) -> Answer<bool> {
        Ok(self.opened(&store)?.with(|values| values.contains_key(&key)))
    }

    fn get_keys(&mut self, store: Resource<Opened>) -> Answer<Vec<String>> {
        Ok(self.opened(&store)?.with(|values| values.keys().cloned().collect()))
    }

    fn drop(&mut self, store: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        self.open -= 1;
        Ok(())
    }
}
