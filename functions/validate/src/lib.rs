//! Checks a dataset's contract.
