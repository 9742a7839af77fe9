package dnsmasq

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	maxScripts    = 64              // events that are taken in at once; dnsmasq itself runs one script at a time
	eventPatience = 5 * time.Second // for a script to say what it has to
)

// delivery is an event that a script has sent, and waits for an answer to.
type delivery struct {
	event    event
	received time.Time
	answer   chan error // of capacity 1
}

// listener takes events in.
type listener struct {
	socket net.Listener
	out    chan delivery
	places chan struct{}
	bad    func(error) // is told of what cannot be read

	group sync.WaitGroup
}

// listen opens the socket at a path. One that nobody listens at any more is removed; its group may use it too.
func listen(path string, bad func(error)) (*listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if c, err := net.Dial("unix", path); err == nil {
			return nil, errors.Join(fmt.Errorf("listen at %s: another agent does", path), c.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove old socket: %w", err)
		}
	}
	socket, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for events: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for events: %w", err), socket.Close())
	}
	return &listener{socket: socket, out: make(chan delivery), places: make(chan struct{}, maxScripts), bad: bad}, nil
}

// serve takes events until ctx ends or the socket fails; then it closes the socket. Events that are not answered by then are sent
// again by their scripts.
func (l *listener) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.socket.Close() })
	defer l.group.Wait()
	defer func() {
		if stop() {
			_ = l.socket.Close() // or nobody could listen in its place
		}
	}()
	for {
		select {
		case l.places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := l.socket.Accept()
		if err != nil {
			<-l.places
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept event: %w", err)
		}
		l.group.Go(func() {
			defer func() { <-l.places }()
			l.take(ctx, c)
		})
	}
}

// take takes one event in.
func (l *listener) take(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.SetDeadline(time.Now().Add(eventPatience)); err != nil {
		return
	}
	line, err := bufio.NewReader(io.LimitReader(c, maxEvent)).ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return // somebody looks whether there is a listener
	}
	if err != nil {
		l.bad(fmt.Errorf("read event: %w", err))
		return
	}
	e, err := parseEvent(bytes.TrimSuffix(line, []byte{'\n'}))
	if err != nil {
		l.bad(err)
		answer(c, err)
		return
	}
	d := delivery{e, time.Now(), make(chan error, 1)}
	select {
	case l.out <- d:
	case <-ctx.Done():
		return
	}
	select {
	case err := <-d.answer:
		answer(c, err)
	case <-ctx.Done():
	}
}

// answer answers a script. Whether it hears that is its own concern.
func answer(c net.Conn, err error) {
	text := answerOK
	if err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	_, _ = io.WriteString(c, text+"\n")
}
