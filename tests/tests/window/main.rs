//! The real window.

mod submit;
