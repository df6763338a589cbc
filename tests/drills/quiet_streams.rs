//! Streams that are quiet for minutes, and clients that pause.
