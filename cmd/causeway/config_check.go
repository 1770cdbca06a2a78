package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/secret"
)

var topicPrefix = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,100}$`)

// check notes what neither the schema nor the catalog can see.
func (p *processFile) check() {
	c := p.config
	for i, broker := range c.Kafka.Brokers {
		if err := checkAddress(broker, false); err != nil {
			p.fault(keys{"kafka", "brokers", strconv.Itoa(i)}, "%v", err)
		}
	}
	if prefix := c.Kafka.Prefix; prefix != "" && !topicPrefix.MatchString(prefix) {
		p.fault(keys{"kafka", "prefix"}, "%q cannot begin a topic's name: use 1 to 100 of a-z A-Z 0-9 . _ -", prefix)
	}
	if id := c.Kafka.InstanceID; id != "" && (!topicPrefix.MatchString(id) || id == "." || id == "..") {
		p.fault(keys{"kafka", "instance_id"}, "%q cannot name a group member: use 1 to 100 of a-z A-Z 0-9 . _ -", id)
	}
	if d := time.Duration(c.Kafka.SessionTimeout); d != 0 && (d < 6*time.Second || d > 30*time.Minute) {
		p.fault(keys{"kafka", "session_timeout"}, "%s is out of range: 6s to 30m, the bounds that brokers have", d)
	}
	for i, pattern := range c.Kafka.Topics.Allow {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			p.fault(keys{"kafka", "topics", "allow", strconv.Itoa(i)}, "%q is not a pattern: write it like webhooks.*", pattern)
		}
	}
	p.checkRegistry()
	p.checkListen(keys{"ingress", "listen"}, c.Ingress.Listen)
	p.checkListen(keys{"ops", "listen"}, c.Ops.Listen)
	if c.Ops.Pprof && !loopback(c.Ops.Listen) {
		p.fault(keys{"ops", "pprof"}, "is served on a loopback address only, and ops.listen is %s", c.Ops.Listen)
	}
	if err := checkPublicURL(c.Ingress.PublicURL); err != nil {
		p.fault(keys{"ingress", "public_url"}, "%v", err)
	}
	for name, d := range map[string]*catalog.Duration{"reply_timeout": &c.Ingress.ReplyTimeout, "drain_delay": c.Ingress.DrainDelay, "shutdown_timeout": &c.Ingress.ShutdownTimeout} {
		p.checkDuration(keys{"ingress", name}, d)
	}
	drain := 5 * time.Second
	if c.Ingress.DrainDelay != nil {
		drain = time.Duration(*c.Ingress.DrainDelay)
	}
	if whole := cmp.Or(time.Duration(c.Ingress.ShutdownTimeout), 25*time.Second); drain >= whole {
		p.fault(keys{"ingress", "drain_delay"}, "%s leaves no time for requests under way: ingress.shutdown_timeout is %s, the delay included", drain, whole)
	}
	memory := cmp.Or(c.Ingress.MaxBodyMemory, defaultBodyMemory)
	planned := cmp.Or(c.Kafka.Topics.MaxBody, kafka.DefaultMaxBody)
	for i, src := range c.Ingress.Sources {
		if len(c.Kafka.Brokers) > 0 && src.MaxBody > planned {
			p.fault(keys{"ingress", "sources", strconv.Itoa(i), "max_body"}, "%d bytes are more than kafka.topics.max_body, which is %d and sizes the topics: raise that in every process's file", src.MaxBody, planned)
		}
		if largest := cmp.Or(src.MaxBody, kafka.DefaultMaxBody); largest >= memory {
			p.fault(keys{"ingress", "sources", strconv.Itoa(i), "max_body"}, "%d bytes do not fit into ingress.max_body_memory, which is %d for all bodies together: make one smaller or the other larger", largest, memory)
		}
	}
	if most := c.Kafka.Topics.MaxBody; most >= memory {
		p.fault(keys{"kafka", "topics", "max_body"}, "%d bytes do not fit into ingress.max_body_memory, which is %d for all bodies together: make one smaller or the other larger", most, memory)
	}
	p.checkListen(keys{"admin", "listen"}, c.Admin.Listen)
	for i, pattern := range c.Secrets.Allow {
		if err := secret.CheckAllow(pattern); err != nil {
			p.fault(keys{"secrets", "allow", strconv.Itoa(i)}, "%q %v", pattern, err)
		}
	}
	p.checkDuration(keys{"egress", "shutdown_timeout"}, &c.Egress.ShutdownTimeout)
	p.checkNetworks(keys{"ingress", "trusted_proxies"}, c.Ingress.TrustedProxies)
	p.checkNetworks(keys{"egress", "allow_networks"}, c.Egress.AllowNetworks)
	p.checkTraces()
}

func (p *processFile) checkListen(k keys, address string) {
	if address == "" {
		return
	}
	if err := checkAddress(address, true); err != nil {
		p.fault(k, "%v", err)
	}
}

func (p *processFile) checkDuration(k keys, d *catalog.Duration) {
	if d != nil && *d < 0 {
		p.fault(k, "%s must not be negative", time.Duration(*d))
	}
}

func (p *processFile) checkNetworks(k keys, list []string) {
	for i, text := range list {
		if _, err := catalog.ParsePrefix(text); err != nil {
			p.fault(k.and(strconv.Itoa(i)), "%v", err)
		}
	}
}

// checkAddress checks a host:port; a listener may leave the host out and have
// port 0, which takes any that is free.
func checkAddress(address string, listener bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" && !listener || strings.Contains(host+port, "@") {
		// Not quoted: it may hold a password.
		return errors.New("this is not an address: write it like 127.0.0.1:8700")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !listener {
		return fmt.Errorf("%q is not an address: its port must be 1 to 65535", address)
	}
	return nil
}

func checkPublicURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		// Not quoted: it may hold a password.
		return errors.New("this is not a base URL: write it like https://hooks.example.com")
	}
	return nil
}

// loopback says whether a listener's address can be reached from this machine only.
func loopback(address string) bool {
	if address == "" {
		address = defaultOps
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// networks reads what checkNetworks has accepted.
func networks(list []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, text := range list {
		if prefix, err := catalog.ParsePrefix(text); err == nil {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}
