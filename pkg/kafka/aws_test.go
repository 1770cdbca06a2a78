package kafka

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sasl/aws"

	"causeway/pkg/secret"
)

// TestPresignedLikeFranzGo compares the payload with franz-go's own, which is known
// to be taken by MSK, at the same moment: only the user agent may differ.
func TestPresignedLikeFranzGo(t *testing.T) {
	for name, k := range map[string]awsKeys{
		"keys of a user":      {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""},
		"keys of a session":   {"ASIAIOSFODNN7EXAMPLE", "secret+with/slashes=", "token+with/slashes and a space=="},
		"keys of few letters": {"A", "B", "C"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const broker = "b-1.demo.abc123.c2.kafka.eu-west-1.amazonaws.com:9098"
				theirs := aws.Auth{AccessKey: k.id, SecretKey: k.secret, SessionToken: k.session, UserAgent: "causeway"}
				_, want, err := theirs.AsManagedStreamingIAMMechanism().Authenticate(t.Context(), broker)
				if err != nil {
					t.Fatal(err)
				}
				ref := func(s string) (r secret.Ref) {
					if s != "" {
						r = secret.Fixed(secret.New([]byte(s)))
					}
					return r
				}
				ours := &AWS{Credentials: &AWSCredentials{AccessKeyID: ref(k.id), SecretAccessKey: ref(k.secret), SessionToken: ref(k.session), Secrets: secret.NewResolver()}}
				_, got, err := ours.Authenticate(t.Context(), broker)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != string(want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		})
	}
}

func TestAWSRegion(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-2")
	for name, tc := range map[string]struct{ set, host, want string }{
		"as set":                       {"ap-south-1", "b-1.x.c2.kafka.eu-west-1.amazonaws.com", "ap-south-1"},
		"as the broker's name has it":  {"", "b-1.x.c2.kafka.eu-west-1.amazonaws.com", "eu-west-1"},
		"as a serverless one's has it": {"", "boot-x.c3.kafka-serverless.eu-north-1.amazonaws.com", "eu-north-1"},
		"as China's have it":           {"", "b-1.x.kafka.cn-north-1.amazonaws.com.cn", "cn-north-1"},
		"as the environment has it":    {"", "kafka.example.com", "us-east-2"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&AWS{Region: tc.set, Credentials: &AWSCredentials{}}).region(tc.host); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	t.Setenv("AWS_REGION", "")
	keys := secret.Fixed(secret.New([]byte("k")))
	a := &AWS{Credentials: &AWSCredentials{AccessKeyID: keys, SecretAccessKey: keys, Secrets: secret.NewResolver()}}
	if _, _, err := a.Authenticate(t.Context(), "kafka.example.com:9098"); err == nil || !strings.Contains(err.Error(), "set kafka.sasl.region") {
		t.Errorf("no region: %v", err)
	}
}

// TestAWSKeysOfTheEnvironment asks a token service and a container's endpoint.
func TestAWSKeysOfTheEnvironment(t *testing.T) {
	asked, status := 0, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.WriteHeader(status)
		until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		switch {
		case status != http.StatusOK:
			fmt.Fprint(w, "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>canary</Message></Error></ErrorResponse>")
		case r.Method == http.MethodGet && r.Header.Get("Authorization") == "pod-token":
			_ = json.NewEncoder(w).Encode(map[string]string{"AccessKeyId": "id", "SecretAccessKey": "secret", "Token": "session", "Expiration": until})
		case r.FormValue("WebIdentityToken") == "pod-token" && r.FormValue("RoleArn") == "arn:role":
			fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>id</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken><Expiration>%s</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, until)
		}
	}))
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("pod-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	c := &AWSCredentials{}
	if _, err := c.keys(t.Context()); err == nil || !strings.Contains(err.Error(), "no AWS credentials") {
		t.Errorf("nothing set: %v", err)
	}
	for name, set := range map[string]map[string]string{
		"web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:role", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_STS": server.URL},
		"container":    {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range set {
				t.Setenv(k, v)
			}
			c, before := &AWSCredentials{}, asked
			for range 2 {
				if k, err := c.keys(t.Context()); err != nil || k != (awsKeys{"id", "secret", "session"}) {
					t.Fatalf("got an error or other keys: %v", err)
				}
			}
			if asked != before+1 {
				t.Errorf("asked %d times for keys that are good for an hour", asked-before)
			}
			c.until = time.Now()
			status = http.StatusForbidden
			defer func() { status = http.StatusOK }()
			if _, err := c.keys(t.Context()); err == nil || !strings.Contains(err.Error(), "answered 403") || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "pod-token") {
				t.Errorf("refused: %v", err)
			}
		})
	}
}
