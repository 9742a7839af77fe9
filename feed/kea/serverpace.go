package kea

import "time"

// How often Kea is asked how it is. It logs each command, so that is seldom, as long as nothing tells that it may have ended or begun.
const (
	defaultPoll = 10 * time.Second
	hurriedPoll = 2 * time.Second // when something tells that, at the most, and while Kea is away
)

// pace tells when Kea is to be looked at. It is used by one goroutine.
type pace struct {
	poll  time.Duration
	last  time.Time // when Kea was looked at
	timer *time.Timer
}

func newPace(poll time.Duration) *pace {
	return &pace{poll: poll, timer: time.NewTimer(poll)}
}

// soon brings the next look forward.
func (p *pace) soon() { p.timer.Reset(min(p.poll, max(0, hurriedPoll-time.Since(p.last)))) }

// looked notes that Kea was looked at; away is whether it did not answer.
func (p *pace) looked(away bool) {
	p.last = time.Now()
	if away {
		p.timer.Reset(min(p.poll, hurriedPoll))
		return
	}
	p.timer.Reset(p.poll)
}

func (p *pace) stop() { p.timer.Stop() }

// glance has the ways look at Kea soon: something tells that it may have ended or begun.
func (s *Server) glance() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.ways {
		select {
		case w.glances <- struct{}{}:
		default:
		}
	}
}
