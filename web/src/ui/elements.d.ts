import 'preact';

declare module 'preact' {
  namespace JSX {
    interface IntrinsicElements {
      'watershed-player': HTMLAttributes<HTMLElement> & { stream: string; via?: string; controls?: string; fit?: string };
    }
  }
}
