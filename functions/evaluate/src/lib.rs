//! Candidate against champion.
