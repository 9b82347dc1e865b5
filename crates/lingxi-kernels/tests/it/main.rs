//! Each kernel against its plain reference, over odd shapes, zeros and extremes.

mod laws;
