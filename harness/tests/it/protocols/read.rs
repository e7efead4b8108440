//! What real programs sent, as we decode it.
