//! Of the simulation itself.
