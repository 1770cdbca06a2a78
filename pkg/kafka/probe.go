package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Reached is what a broker answered at the end of the way to it.
type Reached struct {
	Cluster string
	Brokers []string // as the cluster announces them, host:port
}

// probeTimeout is for all steps to one broker together.
const probeTimeout = 15 * time.Second

// Probe goes the whole way to each bootstrap broker: name, connection, TLS, SASL
// handshake, authentication, a first answer. It returns what the first of them that
// answers says, and an error for each that doesn't: one is enough to begin with.
//
// A kgo.Client goes the same way, but says less when it fails, and what it says
// goes to its log.
func (o Options) Probe(ctx context.Context) (Reached, []error) {
	answers, faults := make([]Reached, len(o.Brokers)), make([]error, len(o.Brokers))
	var wg sync.WaitGroup
	for i, broker := range o.Brokers {
		wg.Go(func() { answers[i], faults[i] = o.probe(ctx, broker) })
	}
	wg.Wait()
	var reached Reached
	var errs []error
	for i, err := range faults {
		if err != nil {
			errs = append(errs, err)
		} else if reached.Brokers == nil {
			reached = answers[i]
		}
	}
	return reached, errs
}

func (o Options) probe(ctx context.Context, broker string) (Reached, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := o.dial(ctx, "tcp", broker)
	if err != nil {
		return Reached{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	w := &wire{options: o, broker: broker, conn: conn, in: bufio.NewReader(conn)}
	if err := w.hello(); err != nil {
		return Reached{}, err
	}
	if o.SASL != nil {
		if err := w.authenticate(ctx, o.SASL); err != nil {
			if step, ok := errors.AsType[*StepError](err); ok && step.Broker == "" {
				named := *step
				named.Broker = broker
				err = &named
			}
			return Reached{}, err
		}
	}
	return w.metadata()
}

// wire speaks just enough of Kafka's protocol to find out where it ends.
type wire struct {
	options Options
	broker  string
	conn    net.Conn
	in      *bufio.Reader
	asked   int32
}

// hello asks for the versions, which any listener answers to anybody.
func (w *wire) hello() error {
	req := kmsg.NewPtrApiVersionsRequest() // version 0, which every broker has
	resp := kmsg.NewPtrApiVersionsResponse()
	err := w.call(req, resp)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if _, known := errors.AsType[*StepError](err); err == nil || known {
		return err
	}
	e := &StepError{Broker: w.broker, Step: StepProtocol, Text: cause(err), Err: err}
	if gone(err) || errors.Is(err, errNotKafka) {
		e.Text = "the other side does not answer as a Kafka broker does"
		if w.options.TLS == nil {
			e.Text += ": does this listener want TLS (kafka.tls.enabled)?"
		}
	} else if isTimeout(err) {
		e.Text = "connected, but no answer: the broker hangs, or this is no Kafka listener"
	}
	return e
}

func (w *wire) authenticate(ctx context.Context, s *SASL) error {
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, s.Mechanism
	offer := kmsg.NewPtrSASLHandshakeResponse()
	if err := w.call(handshake, offer); err != nil {
		return w.ended(StepMechanism, err)
	}
	if err := kerr.ErrorForCode(offer.ErrorCode); err != nil {
		return s.refused(w.broker, offer.SupportedMechanisms, nil, err)
	}
	session, say, err := s.mechanism().Authenticate(ctx, w.broker)
	if err != nil {
		return w.ended(StepCredentials, err)
	}
	for done := false; !done || len(say) > 0; {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.Version, req.SASLAuthBytes = 1, say
		resp := kmsg.NewPtrSASLAuthenticateResponse()
		if err := w.call(req, resp); err != nil {
			return w.ended(StepAuthenticate, err)
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return s.refused(w.broker, nil, resp.ErrorMessage, err)
		}
		say = nil
		if !done {
			if done, say, err = session.Challenge(resp.SASLAuthBytes); err != nil {
				return w.ended(StepAuthenticate, err)
			}
		}
	}
	return nil
}

// metadata asks who is in the cluster: the first question that only who has got
// through gets an answer to.
func (w *wire) metadata() (Reached, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.Topics = 4, []kmsg.MetadataRequestTopic{} // none; nil would be all
	resp := kmsg.NewPtrMetadataResponse()
	if err := w.call(req, resp); err != nil {
		if gone(err) && w.options.SASL == nil {
			return Reached{}, &StepError{Broker: w.broker, Step: StepMechanism, Text: "the broker closed the connection: this listener wants SASL, and kafka.sasl is not set", Err: err}
		}
		return Reached{}, w.ended(StepProtocol, err)
	}
	var r Reached
	if resp.ClusterID != nil {
		r.Cluster = *resp.ClusterID
	}
	for _, b := range resp.Brokers {
		r.Brokers = append(r.Brokers, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	if len(r.Brokers) == 0 {
		return Reached{}, &StepError{Broker: w.broker, Step: StepProtocol, Text: "the cluster names no brokers yet: it is starting"}
	}
	return r, nil
}

// ended names the step at which the conversation ended, unless the error does.
func (w *wire) ended(step Step, err error) error {
	if _, ok := errors.AsType[*StepError](err); ok {
		return err
	}
	e := &StepError{Broker: w.broker, Step: step, Text: cause(err), Err: err}
	if gone(err) {
		e.Text = "the broker closed the connection"
	} else if isTimeout(err) {
		e.Text = "no answer in time"
	}
	return e
}

var errNotKafka = errors.New("not an answer of Kafka's")

// call sends a request of a version without flexible headers and reads the answer.
func (w *wire) call(req kmsg.Request, resp kmsg.Response) error {
	w.asked++
	format := kmsg.NewRequestFormatter(kmsg.FormatterClientID(w.options.withDefaults().ClientID))
	if _, err := w.conn.Write(format.AppendRequest(nil, req, w.asked)); err != nil {
		return err
	}
	var head [8]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 4 || size > 16<<20 || int32(binary.BigEndian.Uint32(head[4:])) != w.asked {
		return errNotKafka
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(w.in, body); err != nil {
		return err
	}
	resp.SetVersion(req.GetVersion())
	if err := resp.ReadFrom(body); err != nil {
		if errors.Is(err, kbin.ErrNotEnoughData) {
			return errNotKafka
		}
		return err
	}
	return nil
}

// gone reports that the other side ended the connection.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
