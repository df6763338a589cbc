//! Who belongs to the cluster: records, ids, restarts, and machines that come back.
