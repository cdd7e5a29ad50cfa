//! Policy decisions from outside: what a gateway sees.

mod decisions;
mod denials;
mod loading;
mod names;
mod scale;
mod subjects;
