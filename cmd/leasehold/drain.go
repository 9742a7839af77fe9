package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/fsm"
)

// metricDrain is how long a planned stop has been under way.
const metricDrain = "leasehold_drain_seconds"

// drain is what a planned stop spends before anything is refused: the node is not ready, and answers as before while virtual
// addresses and requestors move. Leadership goes first, so that by the time that anything is refused here another node has long
// led. It ends after drain.delay, or sooner when hurry or failed say so.
func (n *process) drain(hurry <-chan os.Signal, failed chan *part) {
	n.drainBegan.Store(time.Now().UnixNano())
	n.log.Info("drain begins: not ready, and answering while addresses move", "delay", n.cfg.Drain.Delay, "timeout", n.cfg.Drain.Timeout)
	n.supervisor.stopping(n.cfg.Drain.Delay + n.cfg.Drain.Timeout + stopMargin)
	n.node.Drain()
	select {
	case <-n.node.Ready():
	default:
		return // nobody was ever answered here, so there is nobody to move
	}
	// Connections are kept at first: whoever were made to connect again before the address has moved would come back here, and be
	// reset when it moves.
	for i, half := range []time.Duration{n.cfg.Drain.Delay / 2, n.cfg.Drain.Delay - n.cfg.Drain.Delay/2} {
		if i == 1 {
			n.bulk.Retire()
		}
		if !n.pauseDrain(half, hurry, failed) {
			return
		}
	}
}

// pauseDrain waits for d; false when hurry or failed ended it.
func (n *process) pauseDrain(d time.Duration, hurry <-chan os.Signal, failed chan *part) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-hurry:
		n.log.Info("drain is hastened: no more waiting for addresses to move")
	case p := <-failed:
		n.broke(p)
	}
	return false
}

// broke is what follows when a part ends by itself: whoever stops the part tells its error. Answers of a state that is known to be
// wrong are not let end.
func (n *process) broke(p *part) {
	if p.err != nil { // answers that were ended because the node has diverged end without one
		n.log.Error("node cannot go on", "part", p.name, "err", p.err)
	}
	n.node.Drain()
	if errors.Is(p.err, fsm.ErrDiverged) {
		n.endAnswers()
	}
}

// endAnswers ends every running answer with QueryTerminated, and accepts nobody any more.
func (n *process) endAnswers() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	n.bulk.Drain(over)
}

// stopBulk stops accepting and lets running answers end, for drain.timeout or until hurry says that they must end now.
func (n *process) stopBulk(bulk *part, hurry <-chan os.Signal) error {
	bulk.cancel()
	select {
	case <-bulk.done:
	case <-hurry:
		n.log.Info("drain is hastened: running answers end with QueryTerminated")
		n.endAnswers()
	}
	return bulk.stop()
}

// stopMargin is what a planned stop may take beside drain.delay and drain.timeout: the end of broken-off answers, the handover
// of leadership, proposals under way and a last snapshot.
const stopMargin = 40 * time.Second

// stopAll ends the parts in the order in which others notice least: ingest, whose feeders go on at another node at once,
// answers, then the log, and leadership if nobody wanted it before, then what others ask this node through.
func (n *process) stopAll(parts parts, hurry <-chan os.Signal) error {
	n.ingest.Stop()
	var err error
	if parts.udp != nil {
		err = parts.udp.stop()
	}
	err = errors.Join(err, n.stopBulk(parts.bulk, hurry))
	n.log.Info("answers have ended; the log is closed next", "drained", n.drained().Round(time.Millisecond))
	if parts.tls != nil {
		err = errors.Join(err, parts.tls.stop())
	}
	return errors.Join(err, parts.node.stop(), parts.rpc.stop(), parts.http.stop())
}

// drained tells how long a planned stop has been under way; 0 without one.
func (n *process) drained() time.Duration {
	if at := n.drainBegan.Load(); at != 0 {
		return time.Since(time.Unix(0, at))
	}
	return 0
}

func (n *process) registerDrainMetric(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: metricDrain, Help: "How long a planned stop has been under way; 0 while none is.",
	}, func() float64 { return n.drained().Seconds() }))
}
