package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Step is a part of the way to an answer of a broker.
type Step string

// The steps, in their order.
const (
	StepResolve      Step = "name resolution"
	StepConnect      Step = "TCP connection"
	StepTLS          Step = "TLS handshake"
	StepProtocol     Step = "Kafka protocol"
	StepToken        Step = "token endpoint"
	StepCredentials  Step = "credentials"
	StepMechanism    Step = "SASL handshake"
	StepAuthenticate Step = "authentication"
)

// StepError says at which step the way to a broker ended, and what to do about
// it. It never holds a secret.
type StepError struct {
	Broker string // host:port; empty where no broker was asked yet
	Step   Step
	Text   string // what is wrong, in words for the operator
	Err    error  // underneath; not part of the text when Text says it better
}

func (e *StepError) Error() string {
	if e.Broker == "" {
		return fmt.Sprintf("%s: %s", e.Step, e.Text)
	}
	return fmt.Sprintf("%s: %s: %s", e.Broker, e.Step, e.Text)
}

func (e *StepError) Unwrap() error { return e.Err }

// dialError names the step at which a connection could not be made.
func dialError(broker string, err error) error {
	e := &StepError{Broker: broker, Step: StepConnect, Text: cause(err), Err: err}
	host, port, _ := net.SplitHostPort(broker)
	switch dns, ok := errors.AsType[*net.DNSError](err); {
	case ok && dns.IsNotFound:
		e.Step, e.Text = StepResolve, fmt.Sprintf("no such host %s: mend the name in kafka.brokers, or the DNS of this machine", host)
	case ok:
		e.Step, e.Text = StepResolve, fmt.Sprintf("%s: %s", host, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Text = fmt.Sprintf("refused: nothing listens on port %s there, or it is starting", port)
	case isTimeout(err):
		e.Text = "no answer: the host is down, or a firewall drops the connection"
	}
	return e
}

// handshakeError says what about the broker's certificate is wrong.
func handshakeError(broker string, t *TLS, err error) error {
	name := t.name(broker)
	e := &StepError{Broker: broker, Step: StepTLS, Err: err}
	var invalid x509.CertificateInvalidError
	var wrongName x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		e.Text = outdated(invalid.Cert, time.Now())
	case errors.As(err, &wrongName):
		e.Text = fmt.Sprintf("the broker's certificate is for %s, not for %s: name the broker as its certificate does, or set kafka.tls.server_name", names(wrongName.Certificate), name)
	case errors.As(err, &unknown):
		e.Text = fmt.Sprintf("the broker's certificate (issued by %s) is signed by no CA that is trusted here: %s", issuer(unknown.Cert), t.trusted())
	case errors.As(err, &notTLS), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		e.Text = "the other side does not speak TLS: is this a PLAINTEXT or SASL_PLAINTEXT listener?"
	case isTimeout(err):
		e.Text = "no answer: is this a PLAINTEXT or SASL_PLAINTEXT listener?"
	case alerted(err):
		return alertError(broker, t, err)
	default:
		e.Text = cause(err)
	}
	return e
}

// outdated says when a broker's certificate was or will be valid.
func outdated(cert *x509.Certificate, now time.Time) string {
	if now.Before(cert.NotBefore) {
		return fmt.Sprintf("the broker's certificate (%s) is not valid before %s: is a clock wrong?", cert.Subject, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("the certificate %s of the broker or its CA expired at %s: renew it there", cert.Subject, cert.NotAfter.UTC().Format(time.RFC3339))
}

// alertError explains the broker's own refusal, which comes as a TLS alert: with
// TLS 1.3 not during the handshake but with the first read after it. Alerts about
// client certificates differ from broker to broker, so what is known here of the
// certificate says more than their number.
func alertError(broker string, t *TLS, err error) error {
	e := &StepError{Broker: broker, Step: StepTLS, Err: err}
	alert := cause(err)
	switch pair, loadErr := t.certificate(); {
	case loadErr != nil:
		e.Text = loadErr.Error()
	case pair == nil:
		e.Text = fmt.Sprintf("the broker ended it (%s), and no client certificate is configured: a listener with ssl.client.auth=required wants kafka.tls.cert_file and key_file", alert)
	case time.Now().After(pair.Leaf.NotAfter):
		e.Text = fmt.Sprintf("our client certificate %s expired at %s: renew kafka.tls.cert_file (the broker says: %s)", pair.Leaf.Subject, pair.Leaf.NotAfter.UTC().Format(time.RFC3339), alert)
	case time.Now().Before(pair.Leaf.NotBefore):
		e.Text = fmt.Sprintf("our client certificate %s is not valid before %s (the broker says: %s)", pair.Leaf.Subject, pair.Leaf.NotBefore.UTC().Format(time.RFC3339), alert)
	default:
		e.Text = fmt.Sprintf("the broker refuses our client certificate %s, issued by %s (it says: %s): its truststore must hold that CA", pair.Leaf.Subject, pair.Leaf.Issuer, alert)
	}
	return e
}

// alerted reports that the other side ended a TLS connection by an alert.
func alerted(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// cause is the innermost part of an error: what happened, without who was doing what.
func cause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	return err.Error()
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// names lists what a certificate is for.
func names(cert *x509.Certificate) string {
	list := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		list = append(list, ip.String())
	}
	if len(list) == 0 {
		return "no name at all (it has no subject alternative name)"
	}
	return strings.Join(list[:min(len(list), 5)], ", ")
}

func issuer(cert *x509.Certificate) string {
	if cert == nil {
		return "nobody known"
	}
	return cert.Issuer.String()
}
