//! What a member can do, whoever asks: one handle, used by every face.
