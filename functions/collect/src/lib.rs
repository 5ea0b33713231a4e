//! Pulls or takes rows into raw/.
