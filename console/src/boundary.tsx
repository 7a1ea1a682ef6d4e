// What is left of the page when a part of it fails: words, and a way to go on, instead of nothing.
import { Component, type ReactNode } from "react";

export class Boundary extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <div className="failed" role="alert">
        <h1>The console has failed</h1>
        <p>Something that it was to show isn't what it expected.</p>
        <button type="button" onClick={() => this.setState({ failed: false })}>
          Go on
        </button>
      </div>
    );
  }
}
