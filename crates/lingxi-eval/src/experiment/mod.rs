//! Did a change help when it was tried?
