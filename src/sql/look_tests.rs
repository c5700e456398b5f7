//! Tests of look.
