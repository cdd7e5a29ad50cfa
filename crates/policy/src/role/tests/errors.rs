//! Each mistake, with its place and advice.
