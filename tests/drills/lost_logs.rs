//! Standard error closed, full and unread while nodes are killed.
