//! The A2A endpoint over real HTTP: requests in, replies, streams and webhooks out.

mod world;

mod access;
mod card;
mod conformance;
mod dialects;
mod failing;
mod leaving;
mod limits;
mod lists;
mod malformed;
mod methods;
mod nested;
mod own;
mod plain;
mod push;
mod runs;
mod scale;
mod secrets;
mod streams;
mod tls;
