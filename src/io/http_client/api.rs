//! Any request to one server: for the command line, tests and benchmarks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::api_error::ApiError;
use super::api_url::ApiUrl;
use super::channel::{Channel, OwnRequest, Unanswered};
use super::dial::{self, Dial, DialError};
use crate::io::tasks::Tasks;
use crate::io::tls::{Offer, Trust, towards_servers};

/// Connections kept for later requests.
const KEPT: usize = 256;

/// User and password for basic authentication. Debug shows the user only.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name; has no colon in it.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, …)", self.user)
    }
}

/// How to talk to a server.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Sent with every request. Default none.
    pub credentials: Option<Credentials>,
    /// Versions of HTTP to offer. Default [`Offer::Best`].
    pub offer: Offer,
    /// For TCP and TLS, for each address of the host. Default 5 s.
    pub connect: Duration,
    /// For a whole request, dialling included. Default 30 s.
    pub limit: Duration,
    /// Bytes of an answer. Default 256 MiB.
    pub answer_bytes: usize,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            credentials: None,
            offer: Offer::Best,
            connect: Duration::from_secs(5),
            limit: Duration::from_secs(30),
            answer_bytes: 256 * 1024 * 1024,
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// Its method.
    pub method: Method,
    /// Path and query, percent-encoded: `/v1/store/web/colour`.
    pub path: String,
    /// Further headers.
    pub headers: HeaderMap,
    /// Its body; empty for none.
    pub body: Bytes,
}

impl ApiRequest {
    /// A request without headers and body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with a header; one whose name or value HTTP does not allow makes no difference.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// An answer, successful or not.
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its version of HTTP.
    pub version: http::Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Talks to one server. Connections are kept: requests one after another use the same one, requests
/// side by side use one connection under HTTP/2 and several under HTTP/1.1.
pub struct ApiClient {
    url: ApiUrl,
    tls: Arc<ClientConfig>,
    authorization: Option<HeaderValue>,
    options: ApiOptions,
    tasks: Tasks,
    kept: Mutex<Vec<Channel>>,
}

impl ApiClient {
    /// A client for `https://host:port` that trusts `trust` and nobody else. Dials with the first
    /// request.
    ///
    /// # Errors
    /// [`ApiError::BadUrl`]; [`ApiError::BadRequest`] if HTTP cannot carry the credentials.
    pub fn new(url: &str, trust: &Trust, options: ApiOptions) -> Result<Self, ApiError> {
        let bad = |why: String| ApiError::BadRequest(why);
        let tls = towards_servers(trust, options.offer).map_err(|why| bad(why.to_string()))?;
        Ok(Self {
            url: ApiUrl::parse(url)?,
            tls,
            authorization: options.credentials.as_ref().map(basic).transpose()?,
            options,
            tasks: Tasks::new(),
            kept: Mutex::default(),
        })
    }

    /// The server's address: `https://host:port`.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// See [`ApiError`]. An answer of any status is no error.
    pub async fn request(&self, request: ApiRequest) -> Result<ApiAnswer, ApiError> {
        let sent = AtomicBool::new(false);
        let after = self.options.limit;
        match tokio::time::timeout(after, self.exchange(request, &sent)).await {
            Ok(answered) => answered,
            Err(_elapsed) if sent.load(Ordering::Relaxed) => Err(ApiError::TimedOut {
                url: self.url(),
                after,
            }),
            Err(_elapsed) => Err(ApiError::NobodyAnswers {
                url: self.url(),
                tried: format!("no connection within {after:?}"),
            }),
        }
    }

    /// `GET path`.
    ///
    /// # Errors
    /// As [`ApiClient::request`].
    pub async fn get(&self, path: &str) -> Result<ApiAnswer, ApiError> {
        self.request(ApiRequest::new(Method::GET, path)).await
    }

    /// `PUT path` with a body.
    ///
    /// # Errors
    /// As [`ApiClient::request`].
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Result<ApiAnswer, ApiError> {
        let request = ApiRequest::new(Method::PUT, path).with_body(body);
        self.request(request).await
    }

    async fn exchange(
        &self,
        request: ApiRequest,
        sent: &AtomicBool,
    ) -> Result<ApiAnswer, ApiError> {
        let mut request = self.build(request)?;
        let target = request.uri().clone();
        // A kept connection may turn out to be dead; one that was just made should not.
        loop {
            let (mut channel, fresh) = match self.take_kept() {
                Some(kept) => (kept, false),
                None => (self.dial().await?, true),
            };
            adapt(&mut request, &channel, &target);
            sent.store(true, Ordering::Relaxed);
            match channel.send(request).await {
                Ok(answer) => {
                    let answer = self.read(answer).await?;
                    self.keep(channel);
                    return Ok(answer);
                }
                Err(Unanswered::NotSent(again)) if !fresh => {
                    request = *again;
                    self.kept.lock().clear();
                }
                Err(Unanswered::NotSent(_)) => {
                    return Err(ApiError::NobodyAnswers {
                        url: self.url(),
                        tried: "it closes every connection".to_owned(),
                    });
                }
                Err(Unanswered::Lost(why)) => return Err(self.broken(&why)),
            }
            sent.store(false, Ordering::Relaxed);
        }
    }

    fn build(&self, request: ApiRequest) -> Result<OwnRequest, ApiError> {
        let bad = |why: http::Error| ApiError::BadRequest(why.to_string());
        let uri = Uri::builder()
            .scheme("https")
            .authority(self.url.authority())
            .path_and_query(request.path)
            .build()
            .map_err(bad)?;
        let mut built = Request::builder()
            .method(request.method)
            .uri(uri)
            .body(Full::new(request.body))
            .map_err(bad)?;
        *built.headers_mut() = request.headers;
        if let Some(authorization) = &self.authorization {
            let headers = built.headers_mut();
            headers
                .entry(AUTHORIZATION)
                .or_insert_with(|| authorization.clone());
        }
        Ok(built)
    }

    /// Dials every address of the host until one answers.
    async fn dial(&self) -> Result<Channel, ApiError> {
        let mut tried = Vec::new();
        for address in self.url.addresses().await? {
            let Some(name) = self.url.server_name() else {
                break;
            };
            let config = self.tls.clone();
            let dial = async {
                let dial = Dial {
                    address,
                    name,
                    config,
                };
                Channel::open(dial.tls().await?, &self.tasks).await
            };
            match dial::within(self.options.connect, dial).await {
                Ok(channel) => return Ok(channel),
                Err(DialError::Tls(why)) => {
                    let url = self.url();
                    return Err(ApiError::Refused { url, why });
                }
                Err(why) => tried.push(format!("{address}: {why}")),
            }
        }
        Err(ApiError::NobodyAnswers {
            url: self.url(),
            tried: tried.join("; "),
        })
    }

    fn take_kept(&self) -> Option<Channel> {
        let mut kept = self.kept.lock();
        kept.retain(|channel| !channel.is_closed());
        match kept.last().and_then(Channel::share) {
            Some(shared) => Some(shared),
            None => kept.pop(),
        }
    }

    fn keep(&self, channel: Channel) {
        let mut kept = self.kept.lock();
        let is_kept_already = matches!(channel, Channel::Http2(_)) && !kept.is_empty();
        if kept.len() < KEPT && !is_kept_already {
            kept.push(channel);
        }
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<ApiAnswer, ApiError> {
        let (head, body) = answer.into_parts();
        let limit = self.options.answer_bytes;
        let body = match Limited::new(body, limit).collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(why) if why.is::<LengthLimitError>() => {
                let url = self.url();
                return Err(ApiError::TooLarge { url, limit });
            }
            Err(why) => return Err(self.broken(why.as_ref())),
        };
        Ok(ApiAnswer {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body,
        })
    }

    fn broken(&self, why: &(dyn std::error::Error + 'static)) -> ApiError {
        let why = match why.source() {
            Some(source) => format!("{why}: {source}"),
            None => why.to_string(),
        };
        ApiError::Broken {
            url: self.url(),
            why,
        }
    }
}

/// HTTP/2 wants the whole target; HTTP/1.1 its path, and the host in a header.
fn adapt(request: &mut OwnRequest, channel: &Channel, target: &Uri) {
    *request.uri_mut() = target.clone();
    if matches!(channel, Channel::Http2(_)) {
        request.headers_mut().remove(HOST);
        return;
    }
    if let Some(path) = target.path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    let host = target.authority().map(http::uri::Authority::as_str);
    if let Some(Ok(host)) = host.map(HeaderValue::try_from) {
        request.headers_mut().insert(HOST, host);
    }
}

fn basic(credentials: &Credentials) -> Result<HeaderValue, ApiError> {
    let user = &credentials.user;
    let plain = Zeroizing::new(format!("{user}:{}", credentials.password.as_str()));
    let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(plain.as_bytes())));
    let mut value = HeaderValue::try_from(encoded.as_str())
        .map_err(|why| ApiError::BadRequest(why.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}
