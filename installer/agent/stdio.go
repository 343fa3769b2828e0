package agent

import "io"

// Stdio joins a process's standard input and output into the channel that Serve wants.
// Closing it ends a read that is under way, which closing os.Stdin does not.
func Stdio(in io.Reader, out io.Writer) io.ReadWriteCloser {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		w.CloseWithError(err) // nil becomes io.EOF
	}()
	return &stdio{PipeReader: r, out: out}
}

type stdio struct {
	*io.PipeReader
	out io.Writer
}

func (s *stdio) Write(b []byte) (int, error) { return s.out.Write(b) }

func (s *stdio) Close() error {
	s.PipeReader.Close()
	if c, ok := s.out.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
