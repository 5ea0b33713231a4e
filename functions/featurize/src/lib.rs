//! Makes features and fits the transform.
