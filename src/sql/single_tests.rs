//! Tests of single.
