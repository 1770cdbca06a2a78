package provider

// Settings are the parts of a source that say how its provider works, where the
// preset leaves that open or the user knows better.
type Settings struct {
	Scheme string     `json:"scheme,omitempty" doc:"Which of the provider's schemes, where it has several; gitlab: token (default) or signing_token."`
	HMAC   *HMAC      `json:"hmac,omitempty" doc:"For provider hmac: how requests are signed."`
	Token  *Token     `json:"token,omitempty" doc:"For provider token: where the token is."`
	Basic  *Basic     `json:"basic,omitempty" doc:"For provider basic: whose password the secret is."`
	Event  EventRules `json:"event,omitzero" doc:"Where an event's ID, type and time are."`
}

// HMAC is a signature over the request with a shared key.
type HMAC struct {
	Header    string     `json:"header" doc:"The header that holds the signature, such as X-Signature."`
	Algorithm string     `json:"algorithm,omitempty" enum:"sha1,sha256,sha512" doc:"The hash: sha256 (default), sha1 or sha512."`
	Encoding  string     `json:"encoding,omitempty" enum:"hex,base64" doc:"How the signature is written: hex (default) or base64."`
	Prefix    string     `json:"prefix,omitempty" doc:"Literal text in front of the signature, such as sha256=."`
	Message   []string   `json:"message,omitempty" doc:"What is signed, in order: literal text and {body} {method} {url} {header:NAME}; default the body alone."`
	Timestamp *Timestamp `json:"timestamp,omitempty" doc:"Where the signed time is; without one, old requests are accepted for ever."`
	Key       string     `json:"key,omitempty" enum:"raw,hex,base64,whsec" doc:"How the secret becomes the key: raw (default, its bytes), hex, base64, or whsec (base64 after whsec_)."`
}

// Timestamp says where the time of signing is.
type Timestamp struct {
	Header    string `json:"header" doc:"The header that holds the time; it must be part of message."`
	Unit      string `json:"unit,omitempty" enum:"s,ms,rfc3339" doc:"How the time is written: s (default), ms or rfc3339."`
	Tolerance string `json:"tolerance,omitempty" doc:"How far the time may be off in either direction, such as 5m (default)."`
}

// Token is a shared token in a header.
type Token struct {
	Header string  `json:"header,omitempty" doc:"The header that holds the token (default Authorization)."`
	Prefix *string `json:"prefix,omitempty" doc:"Text in front of the token; default \"Bearer \" in Authorization, nothing elsewhere."`
}

// Basic is HTTP basic authentication.
type Basic struct {
	Username string `json:"username" doc:"The user name; the source's secret is the password."`
}

// EventRules say where to look. A rule is one place, places in a row joined by
// " + " (their values are put together with a dot), or several to be tried in
// turn, with " | " between them.
type EventRules struct {
	ID       string `json:"id,omitempty" doc:"Where the event's ID is, such as json:$.data.id, header:X-Event-Id or query:id; random turns deduplication off."`
	Type     string `json:"type,omitempty" doc:"Where the event's type is, such as json:$.type or header:X-Event."`
	Occurred string `json:"occurred,omitempty" doc:"Where the time of the event is: RFC 3339, or seconds or milliseconds since 1970."`
	Unique   bool   `json:"unique,omitempty" doc:"The ID alone tells events apart; otherwise the body counts too, so that nobody can suppress an event by sending an old body under its ID."`
}
