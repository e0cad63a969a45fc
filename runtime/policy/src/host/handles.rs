//! The types behind the handles that guests hold.

// The generated bindings re-export them.
#![allow(unreachable_pub)]

/// Stands for the request of the call.
pub struct RequestHandle;
/// Stands for the response of the call.
pub struct ResponseHandle;
/// Stands for the trailers of the call.
pub struct TrailersHandle;
/// Stands for the part of a body of the call.
pub struct PartHandle;
/// Stands for the message of the call.
pub struct MessageHandle;
