//! What stands around it: logs, folders, descriptors, program files, clocks.
