package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	logTime    = "2006-01-02T15:04:05.000000000Z07:00" // fixed width
	longestLog = 64 << 10                              // a longer line is cut in several
)

// logFile is what one container said: each line with its time in front.
type logFile struct {
	path string
	mu   sync.Mutex
	f    *os.File
}

func openLog(path string) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &logFile{path: path, f: f}, err
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.f.Close()
}

// copy reads lines until the writers are gone.
func (l *logFile) copy(from io.Reader) {
	r := bufio.NewReaderSize(from, longestLog)
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			out := append([]byte(time.Now().UTC().Format(logTime)+" "), bytes.TrimSuffix(line, []byte("\n"))...)
			l.mu.Lock()
			_, _ = l.f.Write(append(out, '\n'))
			l.mu.Unlock()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// tail is the last words, for a status.
func (l *logFile) tail() string {
	b, _ := os.ReadFile(l.path)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}

// logQuery is PodLogOptions as the API server passes them on.
type logQuery struct {
	since      time.Time
	tail       int // -1: all
	limit      int64
	follow     bool
	timestamps bool
}

// send writes the wanted lines; with follow, also those to come until ended is closed or the reader is gone.
func (q *logQuery) send(w io.Writer, flush func(), path string, gone <-chan struct{}, ended <-chan struct{}) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.Open(os.DevNull) // nothing said yet
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if q.limit > 0 {
		w = &limitedWriter{w, q.limit}
	}
	r := bufio.NewReader(f)
	if q.tail >= 0 {
		if err = q.sendTail(w, r); err != nil {
			return err
		}
	}
	last := false
	for part := ""; ; {
		line, err := r.ReadString('\n')
		part += line
		if err == nil {
			if err = q.line(w, part); err != nil {
				return err
			}
			part = ""
			continue
		}
		flush()
		if !q.follow || last {
			return nil
		}
		select {
		case <-gone:
			return nil
		case <-ended:
			last = true // one more look
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (q *logQuery) sendTail(w io.Writer, r *bufio.Reader) error {
	var keep []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break
		}
		if keep = append(keep, line); len(keep) > q.tail {
			keep = keep[1:]
		}
	}
	for _, line := range keep {
		if err := q.line(w, line); err != nil {
			return err
		}
	}
	return nil
}

func (q *logQuery) line(w io.Writer, line string) error {
	stamp, text, _ := strings.Cut(line, " ")
	if !q.since.IsZero() {
		if t, err := time.Parse(logTime, stamp); err == nil && t.Before(q.since) {
			return nil
		}
	}
	if q.timestamps {
		text = line
	}
	_, err := io.WriteString(w, text)
	return err
}

type limitedWriter struct {
	w    io.Writer
	left int64
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	cut := p[:min(int64(len(p)), l.left)]
	n, err := l.w.Write(cut)
	if l.left -= int64(n); err == nil && l.left == 0 {
		err = io.EOF
	}
	return n, err
}
