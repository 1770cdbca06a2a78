package kafka

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"causeway/pkg/secret"
)

// TokenEndpoint gets tokens by the OAuth 2.0 client credentials grant (RFC 6749,
// 4.4). A token is kept until shortly before it expires, for all clients of the
// process together.
type TokenEndpoint struct {
	URL      string
	ClientID string
	Secret   secret.Ref
	Scopes   []string
	Secrets  *secret.Resolver

	asking sync.Mutex // held by the one who asks
	mu     sync.Mutex
	have   secret.Secret
	until  time.Time
	failed error // of the last try, which counts for who waited for it
	at     time.Time
}

const (
	tokenTimeout = 10 * time.Second
	// tokenRest is for an endpoint that does not say how long its tokens live.
	tokenRest = time.Minute
	// tokenPause is how long a failure is everybody's answer: a hundred
	// connections that come back at once ask once.
	tokenPause = time.Second
)

func (e *TokenEndpoint) token(ctx context.Context) (secret.Secret, error) {
	if token, ok := e.fresh(); ok {
		return token, nil
	}
	e.asking.Lock()
	defer e.asking.Unlock()
	if token, ok := e.fresh(); ok {
		return token, nil
	}
	if e.failed != nil && time.Since(e.at) < tokenPause {
		return secret.Secret{}, e.failed
	}
	token, life, err := e.ask(ctx)
	if err != nil {
		err = &StepError{Step: StepToken, Text: fmt.Sprintf("POST %s: %v", e.URL, err), Err: err}
	}
	e.failed, e.at = err, time.Now()
	if err != nil {
		return secret.Secret{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.have, e.until = token, time.Now().Add(life-margin(life))
	return token, nil
}

// margin is how long before its end a token is used no more. A session lasts no
// longer than its token, and a broker refuses to have one renewed within a second
// (ILLEGAL_SASL_STATE): so the last seconds are left, of very short tokens half.
func margin(life time.Duration) time.Duration {
	return min(max(life/5, 5*time.Second), life/2, time.Minute)
}

func (e *TokenEndpoint) fresh() (secret.Secret, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.have, !e.have.IsZero() && time.Now().Before(e.until)
}

// refused drops a token that a broker did not take: the next session asks for one.
func (e *TokenEndpoint) refused(token secret.Secret) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.have == token {
		e.have = secret.Secret{}
	}
}

// ask makes the request. Its errors hold the status and the code of RFC 6749, 5.2,
// and nothing else of the answer, which may repeat what was sent.
func (e *TokenEndpoint) ask(ctx context.Context) (token secret.Secret, life time.Duration, err error) {
	clientSecret, err := e.Secrets.Resolve(e.Secret)
	if err != nil {
		return secret.Secret{}, 0, fmt.Errorf("kafka.sasl.client_secret: %w", err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(e.Scopes) > 0 {
		form.Set("scope", strings.Join(e.Scopes, " "))
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	// Both are form-encoded before they are joined: RFC 6749, 2.3.1.
	basic := url.QueryEscape(e.ClientID) + ":" + url.QueryEscape(string(clientSecret.Reveal()))
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(basic)))
	status, body, err := call(ctx, http.MethodPost, e.URL, header, strings.NewReader(form.Encode()))
	if err != nil {
		return secret.Secret{}, 0, err
	}
	var answer struct {
		Token   string      `json:"access_token"`
		Expires json.Number `json:"expires_in"`
		Error   string      `json:"error"`
	}
	notJSON := json.Unmarshal(body, &answer)
	switch {
	case status != http.StatusOK:
		return secret.Secret{}, 0, errors.New(endpointRefusal(status, answer.Error))
	case notJSON != nil, answer.Token == "":
		return secret.Secret{}, 0, errors.New("the answer is 200 but holds no access_token: is this the token endpoint?")
	}
	token, life = secret.New([]byte(answer.Token)), tokenRest
	if seconds, err := answer.Expires.Float64(); err == nil && seconds > 0 {
		life = time.Duration(min(seconds, 24*3600) * float64(time.Second))
	} else if exp, ok := expiry(token); ok {
		life = max(time.Until(exp), 0)
	}
	return token, life, nil
}

// endpointRefusal says what an OAuth error code means here.
func endpointRefusal(status int, code string) string {
	text := fmt.Sprintf("answered %d", status)
	if regexp.MustCompile(`^[a-z_]{1,40}$`).MatchString(code) {
		text += " " + code
	}
	switch {
	case code == "invalid_client" || status == http.StatusUnauthorized:
		text += ": check kafka.sasl.client_id and client_secret"
	case code == "invalid_scope":
		text += ": check kafka.sasl.scopes"
	case code == "unauthorized_client" || code == "unsupported_grant_type":
		text += ": allow the client credentials grant for this client"
	case status == http.StatusNotFound:
		text += ": check kafka.sasl.token_url"
	}
	return text
}

// call makes one request to an address that the operator's process file or
// environment names: that is why it is a plain client. No redirects: they would
// carry the credentials elsewhere.
func call(ctx context.Context, method, address string, header http.Header, body io.Reader) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, body) //nolint:gosec // named by the operator
	if err != nil {
		return 0, nil, errors.New("this is not a URL")
	}
	req.Header = header
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}                                                    //nolint:forbidigo // named by the operator
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} //nolint:forbidigo // named by the operator
	resp, err := client.Do(req)                                                                                                                //nolint:gosec // named by the operator
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which may hold what is nobody's business
		}
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}

// expiry is the exp of a token that is a JWT. It is not verified: it only explains.
func expiry(token secret.Secret) (time.Time, bool) {
	parts := strings.Split(string(token.Reveal()), ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if err := json.Unmarshal(text, &claims); err != nil || claims.Exp <= 0 || claims.Exp > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Exp), 0), true
}

// explainToken says what of a token may have been the reason for its refusal.
func explainToken(token secret.Secret) string {
	switch exp, ok := expiry(token); {
	case !ok:
		return ""
	case time.Now().After(exp):
		return "it expired at " + exp.UTC().Format(time.RFC3339)
	default:
		return "it expires at " + exp.UTC().Format(time.RFC3339) + ", so look at its issuer, audience and scope, and at the broker's log"
	}
}
