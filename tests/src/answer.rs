//! What a client got, and the questions that tests ask of it.

use bytes::Bytes;
use forebay_oip::{DecodeLimits, HEADER_LENGTH, InferResponse};
use http::{HeaderMap, Version};
use serde_json::Value;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Protocol version.
    pub version: Version,
    /// Fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// A field's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// This answer, which must be a success.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    /// Status and problem type, of a document that must be well-formed (RFC 9457). A success has the type ``.
    #[track_caller]
    pub fn verdict(&self) -> (u16, String) {
        if self.status < 400 {
            return (self.status, String::new());
        }
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status, "{document}");
        assert!(document["title"].is_string(), "{document}");
        let kind = document["type"].as_str().and_then(|kind| kind.strip_prefix("https://forebay.dev/problems/"));
        (self.status, kind.unwrap_or_else(|| panic!("no type in {document}")).to_owned())
    }

    /// Asserts status and problem type.
    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str) -> &Self {
        assert_eq!(self.verdict(), (status, kind.to_owned()), "{self:?}");
        self
    }

    /// What the cache did: `hit`, `miss`, `collapsed`, `bypass`, or nothing (RFC 9211).
    pub fn cache(&self) -> &'static str {
        let member = self.header("cache-status");
        match member {
            "" => "",
            text if text.contains("; hit") => "hit",
            text if text.contains("; collapsed") => "collapsed",
            text if text.contains("fwd=miss") => "miss",
            text if text.contains("fwd=bypass") => "bypass",
            text => panic!("unknown Cache-Status: {text}"),
        }
    }

    /// The region that was asked for this answer; empty where none was.
    pub fn region(&self) -> &str {
        self.header("forebay-region")
    }

    /// The body as an inference, in JSON or binary.
    pub fn inference(&self) -> InferResponse {
        let length = self.headers.get(HEADER_LENGTH).map(|value| value.to_str().unwrap().parse().unwrap());
        forebay_oip::decode_response(&self.body, length, &DecodeLimits::default())
            .unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The numbers of an FP32 output.
    pub fn f32s(&self, output: &str) -> Vec<f32> {
        let response = self.inference();
        let tensor = response.outputs.iter().find(|tensor| tensor.name == output).expect(output);
        tensor.data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// The elements of a BYTES output, as text.
    pub fn texts(&self, output: &str) -> Vec<String> {
        let response = self.inference();
        let tensor = response.outputs.iter().find(|tensor| tensor.name == output).expect(output);
        let text = |element: Result<&[u8], _>| String::from_utf8(element.unwrap().to_vec()).unwrap();
        tensor.bytes_elements().unwrap().map(text).collect()
    }
}
