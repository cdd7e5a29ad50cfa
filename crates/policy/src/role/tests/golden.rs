//! Role files and the Cedar that they become.
