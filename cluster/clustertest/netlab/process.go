//go:build linux

package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// patience is how long a process that was killed may take to be gone.
const patience = 30 * time.Second

// Process is a program that runs on a host. It ends with the lab, and with the test's own process.
type Process struct {
	Host *Host

	cmd    *exec.Cmd
	output string // path of the file with what it writes
	exited chan struct{}
	err    error // how it ended; read after exited is closed
}

// Start starts a program on the host, in a process group of its own. What it writes is kept.
func (h *Host) Start(program string, args ...string) *Process {
	h.lab.tb.Helper()
	return h.StartCmd(exec.Command(program, args...))
}

// StartCmd starts a command, which may have its environment and folder set, as Start does. Where it has Stdout and Stderr set
// they are used and nothing is kept.
func (h *Host) StartCmd(cmd *exec.Cmd) *Process {
	h.lab.tb.Helper()
	out, err := os.CreateTemp(h.lab.dir, h.Name+"-"+filepath.Base(cmd.Path)+"-")
	if err != nil {
		h.lab.tb.Fatalf("keep the output of %s: %v", cmd.Path, err)
	}
	defer out.Close()
	if cmd.Stdout == nil && cmd.Stderr == nil {
		cmd.Stdout, cmd.Stderr = out, out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{Host: h, cmd: cmd, output: out.Name(), exited: make(chan struct{})}
	started := make(chan error, 1)
	// The signal at the parent's death comes when the thread that started the process ends: so that thread stays and waits.
	go onThread(func() {
		defer close(p.exited)
		err := h.enter()
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	})
	if err := <-started; err != nil {
		h.lab.tb.Fatalf("start %s on %s: %v", strings.Join(cmd.Args, " "), h.Name, err)
	}
	h.lab.mu.Lock()
	h.processes = append(h.processes, p)
	h.lab.mu.Unlock()
	return p
}

// PID is the process id of the program itself.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what the program has written so far.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.output)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	return string(b)
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.exited }

// Running tells whether the program has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Err is how the program ended, as exec.Cmd.Wait says it. It is for after Done.
func (p *Process) Err() error {
	<-p.exited
	return p.err
}

// Signal sends the program a signal. One that has ended is no error.
func (p *Process) Signal(s os.Signal) {
	p.Host.lab.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.Host.lab.tb.Fatalf("signal %v to %s on %s: %v", s, p.cmd.Path, p.Host.Name, err)
	}
}

// Freeze stops the program where it stands (SIGSTOP), until Thaw. It returns when all of its threads stand.
func (p *Process) Freeze() {
	p.Host.lab.tb.Helper()
	p.Signal(syscall.SIGSTOP)
	over := time.Now().Add(patience)
	for p.Running() && !stands(p.PID()) {
		if time.Now().After(over) {
			p.Host.lab.tb.Fatalf("%s on %s does not stop", p.cmd.Path, p.Host.Name)
		}
		runtime.Gosched()
	}
}

// stands tells whether every thread of a process is stopped, as proc(5) says it.
func stands(pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue // the thread has ended
		}
		if state := strings.TrimSpace(string(b[bytes.LastIndexByte(b, ')')+1:])); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return err == nil && len(stats) > 0
}

// Thaw lets a frozen program go on (SIGCONT).
func (p *Process) Thaw() { p.Signal(syscall.SIGCONT) }

// Kill ends the program at once, as kill -9 does, and waits until it is gone. Children of it are left.
func (p *Process) Kill() {
	p.Host.lab.tb.Helper()
	p.Signal(syscall.SIGKILL)
	p.await(patience)
}

// KillGroup is Kill for the program and its children, as far as they are still in its process group.
func (p *Process) KillGroup() {
	p.Host.lab.tb.Helper()
	if p.Running() {
		if err := syscall.Kill(-p.PID(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			p.Host.lab.tb.Fatalf("end %s and its children on %s: %v", p.cmd.Path, p.Host.Name, err)
		}
	}
	p.await(patience)
}

// Stop asks the program to end (SIGTERM) and waits. One that has not ended after grace fails the test.
func (p *Process) Stop(grace time.Duration) {
	p.Host.lab.tb.Helper()
	p.Signal(syscall.SIGTERM)
	p.await(grace)
}

func (p *Process) await(d time.Duration) {
	p.Host.lab.tb.Helper()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.exited:
	case <-t.C:
		p.Host.lab.tb.Fatalf("%s on %s has not ended within %v; it wrote:\n%s", p.cmd.Path, p.Host.Name, d, p.Output())
	}
}

// awaitEnds waits until every process that was started on the host is gone. They were killed.
func (h *Host) awaitEnds() {
	h.lab.mu.Lock()
	processes := append([]*Process(nil), h.processes...)
	h.lab.mu.Unlock()
	deadline := time.After(patience)
	for _, p := range processes {
		select {
		case <-p.exited:
		case <-deadline:
			h.lab.tb.Errorf("%s on %s outlives a kill", p.cmd.Path, h.Name)
			return
		}
	}
}
