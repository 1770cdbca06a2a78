package kafka

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
)

// AWS is the mechanism AWS_MSK_IAM: a presigned request (Signature Version 4) for
// kafka-cluster:Connect in place of a password.
type AWS struct {
	Region      string // empty: the one in the broker's name, else AWS_REGION
	Credentials *AWSCredentials
}

// Name is the mechanism's.
func (*AWS) Name() string { return MSKIAM }

// Authenticate signs with the credentials as they are now.
func (a *AWS) Authenticate(ctx context.Context, broker string) (sasl.Session, []byte, error) {
	keys, err := a.Credentials.keys(ctx)
	if err != nil {
		return nil, nil, err
	}
	host, _, err := net.SplitHostPort(broker)
	if err != nil {
		return nil, nil, fmt.Errorf("sign for %s: %w", broker, err)
	}
	region := a.region(host)
	if region == "" {
		return nil, nil, &StepError{Broker: broker, Step: StepCredentials, Text: "the broker's name does not tell the AWS region: set kafka.sasl.region"}
	}
	payload, err := json.Marshal(presign(keys, host, region, time.Now()))
	if err != nil {
		return nil, nil, fmt.Errorf("sign for %s: %w", broker, err)
	}
	return awsSession{}, payload, nil
}

func (a *AWS) region(host string) string {
	if a.Region != "" {
		return a.Region
	}
	// b-1.name.abc123.c2.kafka.eu-west-1.amazonaws.com, and kafka-serverless there
	labels := strings.Split(host, ".")
	i := slices.IndexFunc(labels, func(l string) bool { return l == "kafka" || l == "kafka-serverless" })
	if i >= 0 && i+2 < len(labels) && labels[i+2] == "amazonaws" {
		return labels[i+1]
	}
	return a.Credentials.region()
}

type awsSession struct{}

// Challenge hears the broker's consent, which is never empty.
func (awsSession) Challenge(answer []byte) (bool, []byte, error) {
	if len(answer) == 0 {
		return false, nil, errors.New("the broker's answer to AWS_MSK_IAM is empty")
	}
	return true, nil, nil
}

// presign makes what the broker hands on to IAM: the query of a presigned URL, as
// a map with keys in lower case.
func presign(k awsKeys, host, region string, now time.Time) map[string]string {
	const service, algorithm = "kafka-cluster", "AWS4-HMAC-SHA256"
	stamp := now.UTC().Format("20060102T150405Z")
	scope := strings.Join([]string{stamp[:8], region, service, "aws4_request"}, "/")
	query := url.Values{
		"Action":              {service + ":Connect"},
		"X-Amz-Algorithm":     {algorithm},
		"X-Amz-Credential":    {k.id + "/" + scope},
		"X-Amz-Date":          {stamp},
		"X-Amz-Expires":       {"300"},
		"X-Amz-SignedHeaders": {"host"},
	}
	if k.session != "" {
		query.Set("X-Amz-Security-Token", k.session)
	}
	empty := sha256.Sum256(nil)
	request := strings.Join([]string{
		"GET", "/", strings.ReplaceAll(query.Encode(), "+", "%20"),
		"host:" + host, "", "host", hex.EncodeToString(empty[:]),
	}, "\n")
	digest := sha256.Sum256([]byte(request))
	key := []byte("AWS4" + k.secret)
	for _, part := range []string{stamp[:8], region, service, "aws4_request", strings.Join([]string{algorithm, stamp, scope, hex.EncodeToString(digest[:])}, "\n")} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	payload := map[string]string{"version": "2020_10_22", "host": host, "user-agent": "causeway", "x-amz-signature": hex.EncodeToString(key)}
	for name, values := range query {
		payload[strings.ToLower(name)] = values[0]
	}
	return payload
}
