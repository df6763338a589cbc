//! What a person meets: configuration, state, hints, pages, exit codes.
