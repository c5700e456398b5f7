//! Tests of own.
