//! The routes of a client's messages.
