package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

const (
	bodySize = 1024

	// The secrets of a run on loopback, handed on by the environment. They open nothing.
	sourceSecretVar       = "BENCH_SOURCE_SECRET"
	subscriptionSecretVar = "BENCH_SUBSCRIPTION_SECRET"
	sourceSecret          = "whsec_bench-only-6b1f0c77e1a54a83"
	subscriptionSecret    = "whsec_YmVuY2gtb25seS1iZW5jaC1vbmx5LWJlbmNoLTI0"
)

// A body begins with the event's ID, which ends in its number.
const (
	bodyStart = `{"id":"evt_bench`
	idDigits  = 12
	idLength  = len("evt_bench") + idDigits
)

// number reads an event's number from its body; -1: it is none of ours.
func number(body []byte) int {
	if len(body) < len(bodyStart)+idDigits || string(body[:len(bodyStart)]) != bodyStart {
		return -1
	}
	n := 0
	for _, c := range body[len(bodyStart) : len(bodyStart)+idDigits] {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// putNumber writes it into the body.
func putNumber(body []byte, n int) {
	digits := body[len(bodyStart) : len(bodyStart)+idDigits]
	for i := range digits {
		digits[len(digits)-1-i] = byte('0' + n%10)
		n /= 10
	}
}

// newBody is an event of 1 KiB as Stripe writes them. Half of it is random, so that
// compression finds in it about what it would find in real ones.
func newBody() []byte {
	const form = `%s000000000000","object":"event","api_version":"2026-09-30","created":1767225600,"data":{"object":{"id":"pi_%s",` +
		`"object":"payment_intent","amount":%d,"currency":"usd","customer":"cus_%s","payment_method":"pm_%s","receipt_email":null,` +
		`"description":"Order","metadata":{"note":"%s"},"capture_method":"automatic","confirmation_method":"automatic","status":"succeeded"}},` +
		`"livemode":true,"pending_webhooks":1,"request":{"id":"req_%s","idempotency_key":"%s"},"type":"payment_intent.succeeded"}`
	fill := func(note string) string {
		return fmt.Sprintf(form, bodyStart, letters(24), 1000+rand.IntN(9000), letters(14), letters(24), note, letters(14), letters(36))
	}
	return []byte(fill(letters(bodySize - len(fill("")))))
}

// letters are random ones, as the IDs of providers are.
func letters(n int) string {
	const all = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out := make([]byte, n)
	for i := range out {
		out[i] = all[rand.IntN(len(all))]
	}
	return string(out)
}

// webhook is a signed request as it goes over the wire. It is made anew in place,
// event after event, by one connection.
type webhook struct {
	wire    []byte
	seconds []byte // of the signature; part of wire, as all of these
	digest  []byte
	body    []byte
	mac     hash.Hash
	sum     [sha256.Size]byte
}

func newWebhook(host, path string) *webhook {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	head := "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n" +
		"Content-Type: application/json; charset=utf-8\r\nContent-Length: " + strconv.Itoa(bodySize) + "\r\nAccept: */*; q=0.5, application/xml\r\n" +
		"Stripe-Signature: t="
	middle := ",v1="
	end := "\r\n\r\n"
	w := &webhook{mac: hmac.New(sha256.New, []byte(sourceSecret))}
	w.wire = []byte(head + now + middle + strings.Repeat("0", 2*sha256.Size) + end)
	w.wire = append(w.wire, newBody()...)
	w.seconds = w.wire[len(head):][:len(now)]
	w.digest = w.wire[len(head)+len(now)+len(middle):][:2*sha256.Size]
	w.body = w.wire[len(w.wire)-bodySize:]
	return w
}

// sign makes it the event of that number, signed at now.
func (w *webhook) sign(n int, now time.Time) []byte {
	putNumber(w.body, n)
	strconv.AppendInt(w.seconds[:0], now.Unix(), 10) // in place: as long as before until the year 2286
	w.mac.Reset()
	_, _ = w.mac.Write(w.seconds)
	_, _ = w.mac.Write([]byte{'.'})
	_, _ = w.mac.Write(w.body)
	hex.Encode(w.digest, w.mac.Sum(w.sum[:0]))
	return w.wire
}
