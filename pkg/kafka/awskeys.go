package kafka

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"causeway/pkg/secret"
)

// AWSCredentials are where AWS keys come from: the references when there are any,
// else what AWS puts into the environment of a process, in the order of its own
// SDKs: keys, a web identity (IRSA), a container's endpoint (ECS, EKS Pod
// Identity). The instance's metadata service, profiles and SSO are not read.
type AWSCredentials struct {
	AccessKeyID, SecretAccessKey, SessionToken secret.Ref
	Secrets                                    *secret.Resolver

	mu    sync.Mutex
	have  awsKeys
	until time.Time
}

// awsKeys sign. They are never formatted.
type awsKeys struct{ id, secret, session string }

func (c *AWSCredentials) region() string {
	return cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
}

// Source names where the keys will come from, or says that there is nowhere.
func (c *AWSCredentials) Source() (string, error) {
	switch {
	case c.AccessKeyID != secret.Ref{}:
		return "kafka.sasl.access_key_id", nil
	case os.Getenv("AWS_ACCESS_KEY_ID") != "":
		return "AWS_ACCESS_KEY_ID", nil
	case os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "":
		return "AWS_WEB_IDENTITY_TOKEN_FILE", nil
	case os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "", os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return "AWS_CONTAINER_CREDENTIALS_*_URI", nil
	}
	return "", errors.New("no AWS credentials: set access_key_id and secret_access_key here, or AWS_ACCESS_KEY_ID, or run where AWS_WEB_IDENTITY_TOKEN_FILE (IRSA) or AWS_CONTAINER_CREDENTIALS_*_URI (ECS, EKS Pod Identity) is set; an instance's metadata service, profiles and SSO are not read")
}

// keys gives keys that are good for a while yet. Those with a session are asked
// for again five minutes before they end.
func (c *AWSCredentials) keys(ctx context.Context) (awsKeys, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have.id != "" && time.Now().Before(c.until) {
		return c.have, nil
	}
	source, err := c.Source()
	var k awsKeys
	var until time.Time
	switch {
	case err != nil:
	case source == "kafka.sasl.access_key_id":
		k, err = c.configured()
	case source == "AWS_ACCESS_KEY_ID":
		k = awsKeys{os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")}
	case source == "AWS_WEB_IDENTITY_TOKEN_FILE":
		k, until, err = c.webIdentity(ctx)
	default:
		k, until, err = c.container(ctx)
	}
	if err == nil && (k.id == "" || k.secret == "") {
		err = errors.New("there is no secret access key")
	}
	if err != nil {
		return awsKeys{}, &StepError{Step: StepCredentials, Text: fmt.Sprintf("AWS keys from %s: %v", cmp.Or(source, "the environment"), err), Err: err}
	}
	if !until.IsZero() {
		c.have, c.until = k, until.Add(-min(time.Until(until)/2, 5*time.Minute))
	}
	return k, nil
}

func (c *AWSCredentials) configured() (k awsKeys, err error) {
	for _, part := range []struct {
		ref secret.Ref
		to  *string
	}{{c.AccessKeyID, &k.id}, {c.SecretAccessKey, &k.secret}, {c.SessionToken, &k.session}} {
		if part.ref == (secret.Ref{}) {
			continue // a session token is for temporary keys only
		}
		s, err := c.Secrets.Resolve(part.ref)
		if err != nil {
			return awsKeys{}, err
		}
		*part.to = string(s.Reveal())
	}
	return k, nil
}

// webIdentity trades the token of a service account for keys of a role.
func (c *AWSCredentials) webIdentity(ctx context.Context) (awsKeys, time.Time, error) {
	path := os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	token, err := fileSecret(path)
	if err != nil {
		return awsKeys{}, time.Time{}, err
	}
	region := c.region()
	if region == "" {
		return awsKeys{}, time.Time{}, errors.New("AWS_REGION is not set, so it is not known which token service to ask")
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {os.Getenv("AWS_ROLE_ARN")}, "RoleSessionName": {cmp.Or(os.Getenv("AWS_ROLE_SESSION_NAME"), "causeway")},
		"WebIdentityToken": {string(token.Reveal())},
	}
	address := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_STS"), "https://sts."+region+".amazonaws.com/")
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	status, body, err := call(ctx, http.MethodPost, address, header, strings.NewReader(form.Encode()))
	if err != nil {
		return awsKeys{}, time.Time{}, fmt.Errorf("ask %s: %w", address, err)
	}
	if status != http.StatusOK {
		var refusal struct {
			Code string `xml:"Error>Code"`
		}
		_ = xml.Unmarshal(body, &refusal) //nolint:gosec // into two texts, of which one is looked at
		return awsKeys{}, time.Time{}, fmt.Errorf("%s answered %d %s: check AWS_ROLE_ARN and the role's trust policy", address, status, short(refusal.Code))
	}
	var answer struct {
		ID      string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
		Secret  string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
		Session string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
		Until   time.Time `xml:"AssumeRoleWithWebIdentityResult>Credentials>Expiration"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil { //nolint:gosec // into three texts and a time
		return awsKeys{}, time.Time{}, fmt.Errorf("%s: the answer is not the XML of STS", address)
	}
	return awsKeys{answer.ID, answer.Secret, answer.Session}, answer.Until, nil
}

// container asks the endpoint that ECS and EKS Pod Identity name.
func (c *AWSCredentials) container(ctx context.Context) (awsKeys, time.Time, error) {
	address := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if relative := os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); relative != "" {
		address = "http://169.254.170.2" + relative
	}
	header := http.Header{}
	if path := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
		token, err := fileSecret(path)
		if err != nil {
			return awsKeys{}, time.Time{}, err
		}
		header.Set("Authorization", string(token.Reveal()))
	} else if token := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"); token != "" {
		header.Set("Authorization", token)
	}
	status, body, err := call(ctx, http.MethodGet, address, header, nil)
	if err != nil {
		return awsKeys{}, time.Time{}, fmt.Errorf("ask %s: %w", address, err)
	}
	if status != http.StatusOK {
		return awsKeys{}, time.Time{}, fmt.Errorf("%s answered %d", address, status)
	}
	var answer struct {
		ID              string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return awsKeys{}, time.Time{}, fmt.Errorf("%s: the answer is not the JSON of a credentials endpoint", address)
	}
	return awsKeys{answer.ID, answer.SecretAccessKey, answer.Token}, answer.Expiration, nil
}

// fileSecret reads a file that the environment names; the platform replaces it.
func fileSecret(path string) (secret.Secret, error) {
	ref, err := secret.ParseRef("file:" + path)
	if err != nil {
		return secret.Secret{}, err
	}
	return secret.NewResolver().Resolve(ref)
}

// short keeps a code of AWS's, and nothing else, out of an answer.
func short(code string) string {
	if len(code) > 60 || strings.ContainsFunc(code, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '.' }) {
		return ""
	}
	return code
}
