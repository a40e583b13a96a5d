//! The registry: its client against hostile servers, its HTTP face against raw requests, both against each other and
//! against the clients and servers of others.

mod client;
mod face;
mod independent;
mod server;
mod stock;
mod together;
